#!/usr/bin/env bash
# Looks for what bothy needs on this machine and installs or builds what is missing.
#
#   .setup/setup.sh            all of it, in order
#   .setup/setup.sh STEP...    some of it: engine terraform provider images binaries compiler postgres
#
# Written: $BOTHY_CACHE (default ~/.cache/bothy), bin/ in the repository, the images
# bothy/base and bothy/build. Debian packages are installed where they are missing:
# docker.io, iptables, mmdebstrap, gcc, and for tests postgresql. Nothing else on the machine is changed.
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/lib.sh"
for file in "$here"/steps/*.sh; do . "$file"; done

have go || fail 'Go is missing' 'install Go 1.26 or newer from your distribution or go.dev, then: make setup'
lock
began=$SECONDS
(($#)) || set -- engine terraform provider images binaries
for name in "$@"; do
  declare -F "step_$name" >/dev/null || fail "there is no step $name"
  "step_$name"
done
step=setup
if ((SECONDS - began >= 5)); then ok "all there after $(elapsed "$began")"; fi
