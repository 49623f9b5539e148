# shellcheck shell=bash
# bothy/base: debian:<suite>-slim where an image registry answers, else the same made from
# Debian's packages.

step_base() {
  step='image bothy/base'
  local old key
  apt_sources
  key="$(cat "$repo/.setup/steps/base.sh" "$cache/sources.list" | digest)"
  if [[ "$(image_label bothy/base bothy.recipe)" == "$key" ]]; then ok "$(image_id bothy/base | cut -c8-19)"; return; fi
  old="$(image_id bothy/base)"
  if base_pull_answers; then
    begin get "debian:$BASE_SUITE-slim from the image registry, which answers"
    logged "debian:$BASE_SUITE-slim could not be pulled" base_pull "$key"
  else
    begin build "Debian $BASE_SUITE from packages with mmdebstrap: no image registry answers"
    have mmdebstrap && [[ -e "$debian_keys" ]] || apt_install mmdebstrap debian-archive-keyring
    ask_sudo
    logged 'mmdebstrap could not make a Debian' base_bootstrap "$key"
  fi
  drop_old bothy/base "$old"
  ended "$(image_id bothy/base | cut -c8-19)"
}

# Does the engine's registry answer? docker pull says "Pulling from" once it has.
base_pull_answers() {
  local out="$cache/tmp/pull" rc=1 pid until=$((SECONDS + 6))
  docker pull "debian:$BASE_SUITE-slim" >"$out" 2>&1 </dev/null &
  pid=$!
  while ((SECONDS < until)); do
    if grep -q 'Pulling from' "$out"; then rc=0; break; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  return "$rc"
}

base_pull() { # KEY
  local work="$cache/tmp/base" had
  had="$(image_id "debian:$BASE_SUITE-slim")"
  docker pull "debian:$BASE_SUITE-slim"
  rm -rf "$work" && mkdir -p "$work"
  cp "$cache/sources.list" "$work/"
  printf 'FROM debian:%s-slim\nRUN rm -f /etc/apt/sources.list.d/*\nCOPY sources.list /etc/apt/sources.list\n' "$BASE_SUITE" >"$work/Dockerfile"
  docker_build "$1" base bothy/base "$work"
  # Only our name for it stays, so that clean-images takes all of it.
  [[ -n "$had" ]] || docker image rm "debian:$BASE_SUITE-slim" || true
  rm -rf "$work"
}

debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg

base_bootstrap() { # KEY
  local tar="$cache/tmp/base.tar" keys=()
  # Elsewhere than on Debian the keys that apt trusts are not Debian's.
  compgen -G '/etc/apt/trusted.gpg.d/debian-archive-*' >/dev/null || keys=(--keyring="$debian_keys")
  # Paths left out are those that Debian's slim images leave out.
  grep '^deb ' "$cache/sources.list" >"$cache/tmp/deb.list"
  as_root mmdebstrap --variant=minbase --include=ca-certificates "${keys[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --aptopt='Acquire::Languages "none"' \
    --customize-hook="upload '$cache/sources.list' /etc/apt/sources.list" \
    --customize-hook='rm -f "$1"/etc/apt/sources.list.d/* "$1"/etc/resolv.conf "$1"/etc/hostname' \
    "$BASE_SUITE" - - <"$cache/tmp/deb.list" >"$tar"
  docker import --change "LABEL bothy.image=base bothy.recipe=$1" --change 'CMD ["bash"]' "$tar" bothy/base
  rm -f "$tar"
}

# Writes $cache/sources.list: the Debian archive that this machine already uses, main only,
# with sources and security updates; Debian's own address where the host is no Debian. What
# else the host has in its list stays out: images must not depend on it.
apt_sources() {
  local key
  key="$( (cat /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* 2>/dev/null; echo "$BASE_SUITE") | digest)"
  if fresh sources "$key" && [[ -s "$cache/sources.list" ]]; then return; fi
  if ! compgen -G '/var/lib/apt/lists/*Release' >/dev/null; then
    ask_sudo
    as_root apt-get update >"$cache/logs/apt-update.log" 2>&1 || true
  fi
  local main security option=''
  main="$(debian_archive Debian)"
  security="$(debian_archive Debian-Security)"
  # A mirror frozen in time needs this inside as well.
  [[ "$(apt-config dump Acquire::Check-Valid-Until 2>/dev/null)" != *'"false"'* ]] || option='[check-valid-until=no] '
  local kind
  for kind in deb deb-src; do
    echo "$kind $option${main:=http://deb.debian.org/debian} $BASE_SUITE main"
    echo "$kind $option$main $BASE_SUITE-updates main"
    echo "$kind $option${security:=http://deb.debian.org/debian-security} $BASE_SUITE-security main"
  done >"$cache/tmp/sources.list"
  mv "$cache/tmp/sources.list" "$cache/sources.list"
  stamp sources "$key"
}

# Asks apt which archive has this label. Known only after an update. An address that means
# something on this machine alone, or holds a password, is no use in an image.
debian_archive() { # LABEL
  apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' "Label: $1" 2>/dev/null |
    grep -E '^https?://' | grep -vE '@|//(localhost|127\.)' | sed 's:/$::' | sort -u | head -n 1 || true
}
