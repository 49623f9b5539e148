#!/usr/bin/env bash
# Boots a whole Debian with systemd, cgroup v2 and that release's Docker engine in QEMU, and tries bothy on it: what a sandbox is
# held to is read inside it. With KVM minutes, without an hour. As root, for the disk that the machine boots from.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib.sh"
for file in "$here"/steps/*.sh; do . "$file"; done

step=e2e-vm
skip() { line '' skip "$*"; exit 0; }
[[ "$(uname -m)" == x86_64 ]] || skip "the machine to boot is x86_64, this one is $(uname -m)"
have qemu-system-x86_64 || skip 'qemu-system-x86_64 is not here: apt install qemu-system-x86, then: make e2e-vm'
have mke2fs || skip 'mke2fs is not here: apt install e2fsprogs, then: make e2e-vm'
((EUID == 0)) || fail 'this needs root: the disk that is booted holds files of root' 'as root: make e2e-vm'
"$here/setup.sh"
"$here/setup.sh" vm

lock
work="$(mktemp -d "$cache/vm/run.XXXXXX")"
# shellcheck disable=SC2154  # rc is set in it
trap 'rc=$?; set +e; rm -rf "$work"; (exit "$rc"); at_exit' EXIT
find_terraform || fail "$terraform_missing"

# A small image is enough, and a small load: without KVM a second of this machine is half a minute of that one.
step='images of the VM'
begin build 'bothy/build without its compilers'
small() {
  mkdir -p "$work/image"
  printf 'FROM bothy/base\nRUN useradd -m -u 1000 dev && mkdir -p /workspace && chown dev:dev /workspace\nUSER dev\nWORKDIR /workspace\n' >"$work/image/Dockerfile"
  docker_build vm vm-build bothy/vm-build "$work/image"
  docker save --output "$work/images.tar" bothy/base bothy/vm-build
  docker image rm bothy/vm-build
}
logged 'the small image does not build' small
ended "$(du -h "$work/images.tar" | cut -f1)"

step='disk of the VM'
begin build "Debian $VM_RELEASE, bothy, Terraform and its provider"
# shellcheck disable=SC2016  # for the inner shell
disk() {
  local top="$work/top"
  mkdir -p "$top"/{bothy/cache,etc/systemd/system/multi-user.target.wants,etc/systemd/network} "$work"/{over,whole}
  (cd "$repo" && CGO_ENABLED=0 go build -o "$top/bothy/" ./cmd/... && CGO_ENABLED=0 go test -c -o "$top/bothy/docker.test" ./provisioner/docker)
  cp -r "$repo/provisioner" "$repo/modules" "$top/bothy/"
  cp -r "$cache/mirror" "$top/bothy/cache/"
  cp "$(readlink -f "$terraform")" "$top/bothy/terraform"
  cp "$here/vm-inside.sh" "$top/bothy/inside.sh"
  cp "$here/vm.service" "$top/etc/systemd/system/bothy-vm.service"
  ln -s ../bothy-vm.service "$top/etc/systemd/system/multi-user.target.wants/bothy-vm.service"
  for unit in apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer fstrim.timer; do ln -s /dev/null "$top/etc/systemd/system/$unit"; done
  printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n' >"$top/etc/systemd/network/eth0.network"
  ln -s /usr/lib/systemd/system/systemd-networkd.service "$top/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
  echo '/dev/vda / ext4 defaults 0 0' >"$top/etc/fstab"
  echo bothy-vm >"$top/etc/hostname"
  echo 'nameserver 10.0.2.3' >"$top/etc/resolv.conf"
  truncate -s 9G "$work/disk"
  unshare --mount bash -c 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/top,workdir=$2/over" "$2/whole" &&
    mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -d "$2/whole" "$2/disk"' disk "$cache/vm/root" "$work"
}
logged 'the disk of the VM cannot be made' disk
ended "$(du -h "$work/disk" | cut -f1)"

step='the VM'
# Several processors without KVM: the guest's kernel panics when it patches its own text.
accel=(-accel 'tcg,thread=single,tb-size=1024' -cpu max -smp 1) how='without KVM: an hour, and more on a busy machine'
patience=14400
# Where the processor says nothing of it, /dev/kvm may be there and emulate, which ends with the first odd instruction.
if [[ -w /dev/kvm ]] && grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo; then
  accel=(-accel kvm -cpu host -smp 2) how='with KVM: minutes'
  patience=3600
fi
begin run "$how"
boot() {
  timeout -k 10 "$patience" qemu-system-x86_64 -machine q35 "${accel[@]}" -m 4096 -nodefaults -display none -no-reboot -serial "file:$work/console" \
    -kernel "$work"/vmlinuz -initrd "$work"/initrd \
    -append 'root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off audit=0 systemd.show_status=0' \
    -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -drive "file=$work/images.tar,format=raw,if=virtio,readonly=on" \
    -netdev user,id=n0 -device virtio-net-pci,netdev=n0 -device virtio-rng-pci
}
cp "$cache"/vm/root/boot/vmlinuz-* "$work/vmlinuz"
cp "$cache"/vm/root/boot/initrd.img-* "$work/initrd"
logged 'the VM did not end' boot
grep -a '^vm: ' "$work/console" | tr -d '\r' || true
cp "$work/console" "$cache/logs/vm-console.log"
if ! grep -aq '^vm: all held' "$work/console"; then
  log="$cache/logs/vm-console.log"
  fail 'not all held in the VM' "less $log"
fi
ended 'all held'
