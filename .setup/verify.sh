#!/usr/bin/env bash
# All that can be checked without an engine. Every check runs, so that one run tells all.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo" || exit
. .setup/steps/tools.sh
. .setup/steps/postgres.sh

lock
step_golangci_lint
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
  if have shellcheck; then shellcheck .setup/*.sh .setup/steps/*.sh .ci/run; return; fi
  for file in .setup/*.sh .setup/steps/*.sh .ci/run; do bash -n "$file" || rc=1; done
  return "$rc"
}

check scripts   'see above'                   scripts
check format    'make fmt'                    "$lint" fmt --diff ./...
check generated 'make generate'               generated
check lint      'make lint'                   "$lint" run ./...
check layers    'go test ./internal/layers/'  go test ./internal/layers/
check tests     'make test-short'             go test -short -timeout 10m ./...

step=verify
((${#failed[@]} == 0)) || { line "$red" FAIL "${failed[*]}" >&2; exit 1; }
ok "$(elapsed 0)"
