# shellcheck shell=bash
# What only developers need. Each tool is a module of its own, so that its dependencies
# never meet bothy's.

step_golangci_lint() { go_tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint '2 min'; }
step_gotestsum() { go_tool gotestsum gotest.tools/gotestsum '10 s'; }


# govulncheck with its database, which is a Go module as well: made once, asked of nobody afterwards.
step_vulnerabilities() {
  # It reads packages as the Go that it was built with does.
  go_tool vulnerabilities . '1 min' "$(cd "$repo" && go env GOVERSION)"
  step='vulnerabilities'
  local key
  key="$(digest <"$repo/.setup/tools/vulnerabilities/go.mod")"
  if fresh vulnerabilities-db "$key" && [[ -d "$cache/vulnerabilities" ]]; then return; fi
  begin build 'its database, about 1 min on 2 cores'
  logged 'the database of vulnerabilities cannot be made' vulnerabilities_db
  stamp vulnerabilities-db "$key"
  ended "$cache/vulnerabilities"
}

# Its program reads a git repository.
vulnerabilities_db() {
  local made data
  made="$(mktemp -d "$cache/tmp/vulnerabilities.XXXXXX")"
  cd "$repo/.setup/tools/vulnerabilities"
  data="$(GOWORK=off go list -mod=readonly -m -f '{{.Dir}}' golang.org/x/vulndb)/data"
  [[ -d "$data" ]] || { GOWORK=off go mod download golang.org/x/vulndb; data="$(GOWORK=off go list -mod=readonly -m -f '{{.Dir}}' golang.org/x/vulndb)/data"; }
  GOWORK=off go build -mod=readonly -o "$made/gendb" golang.org/x/vulndb/cmd/gendb
  mkdir "$made/repo"
  cp -r "$data" "$made/repo/data"
  chmod -R u+w "$made/repo"
  git -C "$made/repo" init -q
  git -C "$made/repo" -c core.autocrlf=false add -A
  # No maintenance behind its back, which would still write there when it is removed.
  git -C "$made/repo" -c user.name=bothy -c user.email=bothy@localhost -c commit.gpgsign=false -c gc.auto=0 -c maintenance.auto=false commit -qm data
  "$made/gendb" -repo "$made/repo" -out "$made/db"
  rm -rf "$cache/vulnerabilities"
  mv "$made/db" "$cache/vulnerabilities"
  rm -rf "$made"
}

go_tool() { # NAME PACKAGE HOW-LONG [KEY]
  step="$1"
  local key
  key="$( (cat "$repo/.setup/tools/$1"/*; printf %s "${4:-}") | digest)"
  # Quiet when there: this runs in front of every lint and test.
  if fresh "$1" "$key" && [[ -x "$cache/tools/$1" ]]; then return; fi
  begin build "from its pinned module, about $3 on 2 cores"
  logged "$1 does not build" build_module "tools/$1" "$2" "$cache/tools/$1"
  stamp "$1" "$key"
  ended "$cache/tools/$1"
}

# The race detector needs a C compiler.
step_compiler() {
  step='C compiler'
  if have gcc || have clang; then return; fi
  begin get 'the race detector needs one: installing gcc with apt'
  apt_install gcc libc6-dev
  ended "$(gcc --version | head -n 1)"
}
