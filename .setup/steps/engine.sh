# shellcheck shell=bash
# The Docker engine: used as it is when one answers, else installed and started.

step_engine() {
  step='docker engine'
  if engine_answers; then ok "$engine"; return; fi
  case "$engine" in
    *'permission denied'*)
      fail 'your user may not use Docker' "sudo usermod -aG docker $(id -un), log in again, then: make setup" ;;
  esac
  [[ -z "${DOCKER_HOST:-}" ]] || fail "DOCKER_HOST is set, and nothing answers there: $engine" 'unset DOCKER_HOST, or start that engine'

  if ! have dockerd || ! have docker; then
    begin get 'no Docker here: installing docker.io with apt'
    # Newer releases keep the command in a package of its own.
    local packages=(docker.io iptables)
    if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
    apt_install "${packages[@]}"
    ended 'installed'
  fi
  if ! engine_answers; then
    begin start 'the engine is installed but not running'
    engine_start
    ended "$engine"
  fi
}

# Sets $engine to what answers, or to why nothing does.
engine_answers() {
  engine="$(docker version --format '{{.Server.Version}} (API {{.Server.APIVersion}})' 2>&1)"
}

engine_start() {
  ask_sudo
  if [[ -d /run/systemd/system ]]; then
    as_root systemctl start docker >>"$log" 2>&1 || true
    engine_wait 30 && return
  fi
  if have service && [[ -x /etc/init.d/docker ]]; then
    as_root service docker start >>"$log" 2>&1 9>&- || true
    engine_wait 15 && return
  fi
  # No service manager: a container, a chroot. It outlives this script, so it gets neither
  # our lock nor our terminal.
  as_root setsid dockerd >>"$log" 2>&1 </dev/null 9>&- &
  engine_wait 60 && return
  fail 'the Docker engine does not start' 'sudo dockerd --debug'
}

engine_wait() { # seconds
  local until=$((SECONDS + $1))
  while ((SECONDS < until)); do
    engine_answers && return
    [[ "$engine" != *'permission denied'* ]] ||
      fail 'the engine runs, but your user may not use it yet' "sudo usermod -aG docker $(id -un), log in again, then: make setup"
    sleep 0.5
  done
  return 1
}
