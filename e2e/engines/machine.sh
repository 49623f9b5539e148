#!/usr/bin/env bash
# A machine of its own for one Docker engine: process 1 of new mount, network and process namespaces that e2e/engines made.
# It sees the folders of the host, and neither its engine, nor its /run, its network, its processes or its control groups.
# All of it ends with this process.
#
# Given in the environment:
#   GROUPS_OF   this machine's own control groups, one a word
#   ROOT        the root of the release whose engine is started; it is not written to
#   WORK        a folder for what the engine writes
#   CONFIG      the engine's configuration, JSON
#   IMAGES      an archive of images to load
# Arguments: the command that is run once the engine answers; its exit code is this script's.
set -euo pipefail

if [[ "${STAGE:-1}" == 1 ]]; then
  for group in $GROUPS_OF; do echo 0 >"$group/cgroup.procs"; done
  # From here on these groups are what a path "/" of control groups means.
  STAGE=2 exec unshare --cgroup -- bash "$0" "$@"
fi
unset STAGE

say() { printf 'machine: %s\n' "$*" >&2; }

# ---- what the kernel shows ---------------------------------------------------

mount --make-rprivate /
mount -t proc proc /proc
mapfile -t hierarchies < <(awk '{ for (i = 7; i <= NF; i++) if ($i == "-") print $5, $(i+1), $(i+3) }' /proc/self/mountinfo |
  awk '$1 ~ "^/sys/fs/cgroup" && ($2 == "cgroup" || $2 == "cgroup2")' | sort -u)
mount -t sysfs sysfs /sys
folder=''
for hierarchy in "${hierarchies[@]}"; do
  read -r point kind options <<<"$hierarchy"
  if [[ "$kind" == cgroup2 && "$point" == /sys/fs/cgroup ]]; then
    mount -t cgroup2 cgroup2 "$point"
    # With version 2 a group that has children with limits has no processes of its own.
    mkdir -p "$point/init"
    while read -r pid; do echo "$pid" >"$point/init/cgroup.procs" || true; done <"$point/cgroup.procs"
    for controller in $(<"$point/cgroup.controllers"); do echo "+$controller" >"$point/cgroup.subtree_control"; done
    continue
  fi
  [[ -n "$folder" ]] || mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  folder=made
  mkdir -p "$point"
  if [[ "$kind" == cgroup2 ]]; then
    mount -t cgroup2 cgroup2 "$point"
    continue
  fi
  named='' controllers=()
  IFS=, read -ra words <<<"$options"
  for word in "${words[@]}"; do
    case "$word" in
      rw|ro|xattr|noprefix|clone_children|cpuset_v2_mode|release_agent=*) ;;
      name=*) named="none,$word" ;;
      *) controllers+=("$word") ;;
    esac
  done
  mount -t cgroup -o "${named:-$(IFS=,; echo "${controllers[*]}")}" cgroup "$point"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock

# ---- the network: e2e/engines attaches slirp4netns to this namespace -----------

ip link set lo up
resolver="$(readlink -m /etc/resolv.conf)"
echo 'nameserver 10.0.2.3' >"$WORK/resolv.conf"
mkdir -p "${resolver%/*}"
[[ -e "$resolver" ]] || : >"$resolver"
mount --bind "$WORK/resolv.conf" "$resolver"
for ((tries = 0; ; tries++)); do
  [[ -z "$(ip -4 route show default 2>/dev/null)" ]] || break
  ((tries < 600)) || { say 'slirp4netns gave no network within a minute'; exit 1; }
  sleep 0.1
done

# ---- the engine, in its release's root, with the host's folders where they are ----

root="$WORK/root"
mkdir -p "$root" "$WORK"/{upper,over,data}
mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$WORK/upper,workdir=$WORK/over" "$root"
for folder in /*; do
  case "$folder" in /bin|/sbin|/lib*|/usr|/etc|/var|/boot|/lost+found) continue ;; esac
  [[ -d "$folder" && ! -L "$folder" ]] || continue
  mkdir -p "$root$folder"
  mount --rbind "$folder" "$root$folder"
done
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
printf '%s\n' "$CONFIG" >"$root/etc/engine.json"

# shellcheck disable=SC2016  # for the inner shell
unshare --mount --propagation private -- bash -c '
  set -e
  cd "$1"
  mkdir -p .machine
  pivot_root . .machine
  umount -l /.machine
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    dockerd --config-file /etc/engine.json --data-root "$2" --exec-root /run/docker --pidfile /run/docker.pid \
    --host unix:///run/docker.sock --exec-opt native.cgroupdriver=cgroupfs' \
  engine "$root" "$WORK/data" >"$WORK/engine.log" 2>&1 </dev/null &
engine=$!
for ((tries = 0; ; tries++)); do
  docker version >/dev/null 2>&1 && break
  if ((tries >= 1200)) || ! kill -0 "$engine" 2>/dev/null; then
    say 'the engine does not answer; its last words:'
    tail -n 5 "$WORK/engine.log" >&2
    exit 1
  fi
  sleep 0.1
done
docker load --quiet --input "$IMAGES" >/dev/null

# ---- what is to be tried ---------------------------------------------------------

rc=0
"$@" || rc=$?
# In good order, so that what runs in containers leaves its control groups. The rest ends with this process.
kill -TERM "$engine" 2>/dev/null || true
for ((tries = 0; tries < 600; tries++)); do
  kill -0 "$engine" 2>/dev/null || break
  sleep 0.1
done
exit "$rc"
