# shellcheck shell=bash
# PostgreSQL's server, for tests: they start one of their own from its initdb and postgres, in a
# folder of their own, and stop it again. This step starts none.

step_postgres() {
  step=postgres
  # Quiet when there: this runs in front of every test.
  if postgres_version >/dev/null; then return; fi
  have apt-get || fail 'PostgreSQL is missing, and so is apt-get' \
    'install a PostgreSQL server (13 or newer) by hand, or run the tests without: BOTHY_TEST_POSTGRES=off'
  begin get 'no PostgreSQL here: installing its server with apt, for tests; it is not started'
  ask_sudo
  logged 'apt-get could not install postgresql' postgres_install
  postgres_version >/dev/null || fail 'postgresql is installed, and there is no initdb' 'ls /usr/lib/postgresql/*/bin'
  ended "$(postgres_version)"
}

# The server that tests take: that on PATH, else the newest of Debian's.
postgres_version() {
  local dir
  for dir in "$(dirname "$(readlink -f "$(command -v initdb || echo /)")")" \
    $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
    if [[ -x "$dir/initdb" && -x "$dir/postgres" ]]; then
      "$dir/postgres" --version
      return
    fi
  done
  return 1
}

# Debian's package makes a cluster and starts it, unless it is told not to: nobody here wants it.
# Runs in a shell of its own.
postgres_install() {
  local told=/etc/postgresql-common/createcluster.d/bothy-setup.conf
  trap "as_root rm -f '$told'" EXIT
  as_root mkdir -p "${told%/*}"
  echo 'create_main_cluster = false' | as_root tee "$told"
  apt_install_now postgresql
}
