# shellcheck shell=bash
# What every script here shares: where things live, how progress is told, how a step is
# skipped when done. Source it; it runs nothing by itself but creates the cache folder.
set -euo pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${BOTHY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bothy}"
mkdir -p "$cache"/{bin,logs,mirror,stamps,tmp,tools}
cache="$(cd "$cache" && pwd)"
. "$repo/.setup/versions.sh"

# A leftover setting must not decide where our Terraform looks for providers.
unset TF_CLI_CONFIG_FILE TF_CLI_ARGS TF_PLUGIN_CACHE_DIR TF_DATA_DIR TF_WORKSPACE

# ---- telling ---------------------------------------------------------------

bold='' green='' red='' plain=''
if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

step=setup cause='' next='' log=''

line()  { printf '%s%-5s%s %-18s %s\n' "$1" "$2" "$plain" "$step" "$3"; }
ok()    { line "$green" ok "$*"; }
begin() { line "$bold" "$1" "$2"; step_began=$SECONDS; log="$cache/logs/${step//[ \/]/-}.log"; : >"$log"; }
ended() { line "$green" "done" "$* ($(elapsed "$step_began"))"; log=''; }
note()  { line '' note "$*"; }
elapsed() { local s=$((SECONDS - $1)); if ((s < 60)); then echo "${s} s"; else echo "$((s / 60)) min $((s % 60)) s"; fi; }

# fail CAUSE [NEXT COMMAND]: the sentence that the exit below prints.
fail() { cause="$1" next="${2:-}"; exit 1; }

child='' tracks=()
at_exit() {
  local rc=$?
  trap '' INT TERM HUP
  if ((${#tracks[@]})); then
    # Each ends what it has begun.
    kill -TERM "${tracks[@]}" 2>/dev/null || true
    wait "${tracks[@]}" || true
  fi
  if [[ -n "$child" ]]; then
    # All of the group, and until it is gone: mmdebstrap, for one, cleans up behind itself.
    local until=$((SECONDS + 30))
    kill -TERM -- "-$child" 2>/dev/null || true
    while ((SECONDS < until)) && kill -0 -- "-$child" 2>/dev/null; do sleep 0.1; done
  fi
  ((rc == 0)) && return
  if ((rc == 130 || rc == 143)); then
    line "$red" stop 'interrupted; what is finished stays, run the same command to go on' >&2
    return
  fi
  line "$red" FAIL "${cause:-a command of this step failed}" >&2
  [[ -s "$log" ]] && { tail -n 5 "$log" | sed 's/^/      | /' >&2; echo "      log:  $log" >&2; }
  echo "      next: ${next:-put right what the log says, then run: make setup}" >&2
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- doing -----------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

# logged CAUSE COMMAND...: output goes to the step's log, with a sign of life every 15 s; a
# failure ends setup with CAUSE. The command gets a process group of its own, so that an
# interrupt ends all of it. Call it plainly: within || or if, bash would switch set -e off in
# the command, too.
logged() {
  local why="$1" began=$SECONDS told=$SECONDS rc=0
  shift
  set -m
  ( set -e; "$@" ) >>"$log" 2>&1 </dev/null &
  child=$!
  set +m
  while kill -0 "$child" 2>/dev/null; do
    sleep 0.1
    if ((SECONDS - told >= 15)); then
      told=$SECONDS
      line '' '...' "$(elapsed "$began"), log: $log"
    fi
  done
  wait "$child" || rc=$?
  child=''
  ((rc == 0)) || fail "$why"
}

# side_by_side 'STEP...'...: the steps of each track in order, the tracks at the same time. Every line names its step, and every step
# has a log of its own. One that fails lets the others finish: what they made stays.
side_by_side() {
  local track rc=0 failed=0
  for track in "$@"; do
    (
      trap at_exit EXIT
      trap 'exit 130' INT
      trap 'exit 143' TERM HUP
      tracks=()
      for name in $track; do "step_$name"; done
    ) &
    tracks+=("$!")
  done
  for track in "${tracks[@]}"; do
    rc=0
    wait "$track" || rc=$?
    ((rc == 0)) || failed=$rc
  done
  tracks=()
  ((failed == 0)) && return
  step=setup
  fail 'not everything is there: see above' 'put right what is said above, then run: make setup'
}

# Only one setup at a time per cache folder; children hold it too, so that a killed run's
# leftovers are waited for.
lock() {
  exec 9>"$cache/.lock"
  flock -n 9 && return
  note "another setup is at work in $cache; waiting for it"
  flock 9
}

as_root() {
  if ((EUID == 0)); then "$@"; return; fi
  have sudo || fail "this step needs root, and there is no sudo: $*" 'become root and run: make setup'
  sudo "$@"
}

# Asks for the password while the terminal is ours: the work itself runs in the background.
ask_sudo() { ((EUID == 0)) || ! have sudo || sudo -v; }

apt_install() { # apt_install PACKAGE...: inside a begun step
  have apt-get || fail "apt-get is missing: install by hand: $*" 'make setup'
  ask_sudo
  logged "apt-get could not install $*" apt_install_now "$@"
}

apt_install_now() {
  local env=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a)
  # An earlier run may have been cut off in the middle of dpkg.
  [[ -z "$(dpkg --audit)" ]] || as_root "${env[@]}" dpkg --configure -a
  as_root "${env[@]}" apt-get -o DPkg::Lock::Timeout=300 update
  as_root "${env[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

# Does this host answer within 3 s? Bash alone can tell where there is no curl.
answers() {
  if have curl; then curl -sS -m 3 -o /dev/null "https://$1/" 2>/dev/null; return; fi
  timeout 3 bash -c ": </dev/tcp/$1/443" 2>/dev/null
}

# ---- remembering -----------------------------------------------------------

digest() { sha256sum | cut -c1-16; }
folder_digest() { tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . | digest; }

# fresh NAME KEY: was NAME done with this key?   stamp NAME KEY: it is now.
fresh() { [[ -f "$cache/stamps/$1" && "$(<"$cache/stamps/$1")" == "$2" ]]; }
stamp() { echo "$2" >"$cache/stamps/.$1" && mv "$cache/stamps/.$1" "$cache/stamps/$1"; }

# build_module FOLDER PACKAGE OUTPUT [GO FLAG...]: a tool from its own pinned module, in place
# only when whole. No -trimpath, no CGO_ENABLED=0: either would compile all packages a second
# time beside what tests have in Go's cache.
build_module() {
  local folder="$1" package="$2" output="$3"
  shift 3
  (cd "$repo/.setup/$folder" && GOWORK=off go build -mod=readonly -ldflags '-s -w' "$@" -o "$output.part" "$package")
  mv "$output.part" "$output"
}
