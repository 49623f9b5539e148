#!/usr/bin/env bash
# Runs in the VM of vm.sh, as root, and turns it off at the end. Lines that begin with "vm: " are for whoever started it.
export PATH=/bothy:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root BOTHY_CACHE=/bothy/cache
trap 'sync; systemctl poweroff --force --force' EXIT
wrong=0
said() { echo "vm: $*"; }
check() { # WHAT GOT WANT
  if [[ "$2" == "$3" ]]; then said "ok    $1: $2"; else said "WRONG $1: got $2, want $3"; wrong=1; fi
}
try() { # WHAT COMMAND...
  local what="$1"
  shift
  if "$@"; then said "ok    $what"; else said "WRONG $what: exit code $?"; wrong=1; fi
}

said "$(uname -r), $(docker version --format 'Docker {{.Server.Version}}'), $(docker info --format 'cgroup v{{.CgroupVersion}} by {{.CgroupDriver}}')"
fallocate -l 2G /swap && chmod 600 /swap && mkswap /swap && swapon /swap
docker load </dev/vdb
docker tag bothy/vm-build bothy/build
check 'cgroup version' "$(docker info --format '{{.CgroupVersion}}')" 2

bothyd --log-format text >/bothy/bothyd.log 2>&1 &
daemon=$!
for ((n = 0; n < 3000; n++)); do bothy doctor >/bothy/doctor 2>&1 && break; sleep 0.2; done
sed 's/^/vm:       /' /bothy/doctor
try 'an environment' bothy up --source none --size small --name a
inside() { bothy exec a -- cat "/sys/fs/cgroup/$1" 2>&1; }
check memory.max "$(inside memory.max)" 1073741824
check memory.swap.max "$(inside memory.swap.max)" 0
check pids.max "$(inside pids.max)" 512
check cpu.max "$(inside cpu.max)" '100000 100000'
bothy exec a -- sh -c 'head -c 1500m /dev/zero | tail -c 1500m >/dev/null' >/dev/null 2>&1
check '1.5 GiB of memory in a sandbox of 1 GiB, exit code' "$?" 137
check 'swap of it' "$(inside memory.swap.current)" 0
try 'the environment is given back' bothy down a
check 'sandboxes left' "$(docker ps -aq --filter label=bothy.environment | wc -l)" 0
kill "$daemon"; wait "$daemon"

cd /bothy/provisioner/docker || exit
/bothy/docker.test -test.v -test.timeout 3h -test.run "${TESTS:-Conformance|Kernel|Limit|Pids|Paused|Cgroup}" >/bothy/tests.log 2>&1
rc=$?
said "docker suite: $(grep -c -- '--- PASS' /bothy/tests.log) passed, $(grep -c -- '--- SKIP' /bothy/tests.log) skipped, $(grep -c -- '--- FAIL' /bothy/tests.log) failed"
grep -a -B8 -- '--- FAIL' /bothy/tests.log | tail -n 60
check 'docker suite, exit code' "$rc" 0
((wrong)) || said 'all held'
