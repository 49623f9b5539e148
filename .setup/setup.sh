#!/usr/bin/env bash
# Looks for what bothy needs on this machine and installs or builds what is missing.
#
#   .setup/setup.sh            all of it, the long steps side by side
#   .setup/setup.sh STEP...    some of it: engine bubblewrap terraform provider images binaries compiler postgres roots vm
#
# Written: $BOTHY_CACHE (default ~/.cache/bothy), bin/ in the repository, the images
# bothy/base and bothy/build. Debian packages are installed where they are missing:
# docker.io, iptables, bubblewrap, mmdebstrap, gcc, and for tests postgresql. Nothing else on the machine is changed.
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/lib.sh"
for file in "$here"/steps/*.sh; do . "$file"; done

have go || fail 'Go is missing' 'install Go 1.26 or newer from your distribution or go.dev, then: make setup'
lock
began=$SECONDS
for name in "$@"; do
  declare -F "step_$name" >/dev/null || fail "there is no step $name"
done
if (($#)); then
  for name in "$@"; do "step_$name"; done
else
  step_engine
  step_bubblewrap
  # Packages wait for the network and the disk, builds for processors.
  side_by_side 'images' 'terraform provider binaries'
fi
step=setup
if ((SECONDS - began >= 5)); then ok "all there after $(elapsed "$began")"; fi
