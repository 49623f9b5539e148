#!/usr/bin/env bash
# Removes what setup made: clean.sh images|cache|bin ...
# The Docker engine and the Debian packages that setup installed stay: by now other things
# may use them. To remove these, too: apt-get remove docker.io mmdebstrap postgresql
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

clean_images() {
  step=images
  local name removed=0 kept=0
  if ! docker version >/dev/null 2>&1; then note 'no engine answers; its images stay'; return; fi
  # Label and name: an image that someone built on top of ours inherits the label.
  for name in $(docker image ls --filter label=bothy.image --filter reference='bothy/*' --format '{{.Repository}}:{{.Tag}}') \
    $(docker image ls --quiet --filter label=bothy.image --filter dangling=true); do
    if docker image rm "$name" >/dev/null; then ((removed += 1)); else ((kept += 1)); fi
  done
  ((kept == 0)) || fail "$kept images are in use and stay" 'docker ps -a, remove what uses them, then the same again'
  ok "$removed removed"
}

clean_cache() {
  step=cache
  # By name: should BOTHY_CACHE be a folder with other things in it, they stay.
  local name
  for name in bin logs mirror stamps templates tmp tools sources.list terraform.rc .lock; do
    [[ ! -e "$cache/$name" ]] || { chmod -R u+w "$cache/$name"; rm -rf "${cache:?}/$name"; }
  done
  # Their files are root's, as they are in a release.
  for name in engines vm; do [[ ! -e "$cache/$name" ]] || as_root rm -rf "${cache:?}/$name"; done
  rmdir "$cache" 2>/dev/null || note "$cache holds other things and stays"
  ok "$cache"
}

clean_bin() {
  step=bin
  rm -rf "${repo:?}"/{bin,bench.json,coverage.out}
  ok 'bin/ and what tests and benchmarks wrote'
}

for what in "$@"; do "clean_$what"; done
