# shellcheck shell=bash
# bothy and bothyd, into bin/. Go's own cache decides what there is to do.

step_binaries() {
  step='bothy, bothyd'
  [[ -d "$repo/cmd" ]] || { note 'no cmd/ in this tree: nothing to build'; return; }
  local version
  version="$(git -C "$repo" describe --tags --always --dirty 2>/dev/null || echo dev)"
  log="$cache/logs/binaries.log"
  : >"$log"
  logged 'the binaries do not build' build_binaries "$version"
  log=''
  ok "$version, in bin/"
}

build_binaries() { # VERSION
  cd "$repo" && go build -ldflags "-X main.version=$1" -o bin/ ./cmd/...
}
