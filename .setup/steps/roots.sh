# shellcheck shell=bash
# Roots of newer Debian releases, each with that release's own Docker engine: what
# make e2e-engines starts beside the machine's engine. They are made once and stay as they are.

root_packages=(docker.io docker-cli containerd runc iptables nftables iproute2 slirp4netns mount procps ca-certificates)

step_roots() {
  local release
  for release in $ENGINE_RELEASES; do step_root "$release"; done
}

step_root() { # RELEASE
  step="engine of $1"
  local root="$cache/engines/$1" mirror key
  apt_sources
  mirror="$(awk -v suite="$BASE_SUITE" '$1 == "deb" && $(NF-1) == suite { print $(NF-2) }' "$cache/sources.list")"
  key="$(digest <<<"$mirror $1 ${root_packages[*]}")"
  if fresh "root-$1" "$key" && [[ -x "$root/usr/sbin/dockerd" ]]; then ok "$(root_version "$root")"; return; fi
  begin get "Debian $1 with its Docker engine, from $mirror"
  mirror_has "$mirror" "$1" ||
    fail "no Debian mirror with the release $1 answers at $mirror: newer engines come from there" 'connect this machine to a Debian mirror, then: make e2e-engines'
  have mmdebstrap && [[ -e "$debian_keys" ]] || apt_install mmdebstrap debian-archive-keyring
  ask_sudo
  logged "mmdebstrap could not make Debian $1" root_bootstrap "$mirror" "$1" "$root" "${root_packages[@]}"
  stamp "root-$1" "$key"
  ended "$(root_version "$root")"
}

# apt's own way out, which may lead through a proxy.
mirror_has() { # MIRROR RELEASE
  /usr/lib/apt/apt-helper -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 -o Acquire::Retries=2 \
    download-file "$1/dists/$2/Release" "$cache/tmp/Release" >>"$log" 2>&1 </dev/null
}

root_bootstrap() { # MIRROR RELEASE ROOT PACKAGE...
  local keys=() mirror="$1" release="$2" root="$3"
  shift 3
  compgen -G '/etc/apt/trusted.gpg.d/debian-archive-*' >/dev/null || keys=(--keyring="$debian_keys")
  as_root rm -rf "$root.part" "$root"
  mkdir -p "${root%/*}"
  as_root nice -n 10 mmdebstrap --mode=root --format=directory --variant=minbase "${keys[@]}" \
    --include="$(IFS=,; echo "$*")" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$release" "$root.part" "$mirror"
  as_root mv "$root.part" "$root"
}

# The package's version, "26.1.5+dfsg1-9": nothing of the root is run for it.
root_version() { # ROOT
  echo "Docker $(awk '$0 == "Package: docker.io" { found = 1 } found && $1 == "Version:" { print $2; exit }' "$1/var/lib/dpkg/status")"
}

# The root of a whole machine, with a kernel and systemd: what make e2e-vm boots.
vm_packages=(systemd systemd-sysv libpam-systemd dbus udev kmod initramfs-tools linux-image-cloud-amd64 docker.io docker-cli
  containerd runc iptables nftables ca-certificates iproute2 procps bubblewrap mount)

step_vm() {
  step='machine for a VM'
  local root="$cache/vm/root" mirror key
  apt_sources
  mirror="$(awk -v suite="$BASE_SUITE" '$1 == "deb" && $(NF-1) == suite { print $(NF-2) }' "$cache/sources.list")"
  key="$(digest <<<"$mirror $VM_RELEASE ${vm_packages[*]}")"
  if fresh vm "$key" && [[ -x "$root/usr/sbin/dockerd" ]]; then ok "Debian $VM_RELEASE, $(root_version "$root")"; return; fi
  begin get "Debian $VM_RELEASE with a kernel, systemd and Docker, from $mirror"
  mirror_has "$mirror" "$VM_RELEASE" ||
    fail "no Debian mirror with the release $VM_RELEASE answers at $mirror" 'connect this machine to a Debian mirror, then: make e2e-vm'
  have mmdebstrap && [[ -e "$debian_keys" ]] || apt_install mmdebstrap debian-archive-keyring
  ask_sudo
  logged "mmdebstrap could not make Debian $VM_RELEASE" root_bootstrap "$mirror" "$VM_RELEASE" "$root" "${vm_packages[@]}"
  stamp vm "$key"
  ended "Debian $VM_RELEASE, $(root_version "$root")"
}
