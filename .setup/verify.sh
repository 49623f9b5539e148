#!/usr/bin/env bash
# All that can be checked without an engine. Every check runs, so that one run tells all.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo" || exit
. .setup/steps/tools.sh
. .setup/steps/postgres.sh

lock
step_golangci_lint
step_vulnerabilities
step_postgres
exec 9>&-
trap - EXIT
lint="$cache/tools/golangci-lint"
failed=()

check() { # NAME NEXT COMMAND...
  step="$1"
  local next="$2" began=$SECONDS
  shift 2
  if "$@" </dev/null; then
    ok "$(elapsed "$began")"
  else
    line "$red" FAIL "$(elapsed "$began"); next: $next" >&2
    failed+=("$step")
  fi
}

# Generates into a copy of the tree and compares, so that a tree with open changes can be
# checked and is left as it is.
generated() {
  git grep -q --untracked '^//go:generate' -- '*.go' || return 0
  local copy
  copy="$(mktemp -d "$cache/tmp/generate.XXXXXX")"
  git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- --ignore-failed-read 2>/dev/null | tar -x -C "$copy"
  cp -r "$copy" "$copy.before"
  local rc=0
  (cd "$copy" && go generate ./...) && diff -r "$copy.before" "$copy" || rc=1
  rm -rf "$copy" "$copy.before"
  return "$rc"
}

scripts() {
  local file rc=0
  if have shellcheck; then shellcheck .setup/*.sh .setup/steps/*.sh e2e/engines/*.sh .ci/run; return; fi
  for file in .setup/*.sh .setup/steps/*.sh e2e/engines/*.sh .ci/run; do bash -n "$file" || rc=1; done
  return "$rc"
}

# Known vulnerabilities that our code reaches, by a database on disk.
vulnerabilities() {
  "$cache/tools/vulnerabilities" "$cache/vulnerabilities" "$(sed -n 's/^toolchain //p' go.mod)" ./...
}

# Developers sit at other systems than the daemon's. Compiled and not linked: what is wrong is found all the same. One of each system: a
# cold build takes a minute.
systems() {
  local target rc=0
  for target in linux/arm64 darwin/arm64 windows/amd64; do
    CGO_ENABLED=0 GOOS="${target%/*}" GOARCH="${target#*/}" go build ./internal/cli ./internal/client && continue
    echo "the command line does not build for $target" >&2
    rc=1
  done
  return "$rc"
}

check scripts   'see above'                   scripts
check format    'make fmt'                    "$lint" fmt --diff ./...
check generated 'make generate'               generated
check lint      'make lint'                   "$lint" run ./...
check systems   'see above'                   systems
check layers    'go test ./internal/layers/'  go test ./internal/layers/
check known     'go get of the fixed version; or its line in .setup/tools/vulnerabilities/accepted.txt' vulnerabilities
# Where make test follows at once, it runs the same tests and more.
((${TESTS_FOLLOW:-0})) || check tests     'make test-short'             go test -short -timeout 10m ./...

step=verify
((${#failed[@]} == 0)) || { line "$red" FAIL "${failed[*]}" >&2; exit 1; }
ok "$(elapsed 0)"
