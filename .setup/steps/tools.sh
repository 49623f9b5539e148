# shellcheck shell=bash
# What only developers need. Each tool is a module of its own, so that its dependencies
# never meet bothy's.

step_golangci_lint() { go_tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint '2 min'; }
step_gotestsum() { go_tool gotestsum gotest.tools/gotestsum '10 s'; }

go_tool() { # NAME PACKAGE HOW-LONG
  step="$1"
  local key
  key="$(cat "$repo/.setup/tools/$1"/go.* | digest)"
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
