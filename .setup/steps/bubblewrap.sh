# shellcheck shell=bash
# bubblewrap, the box that Terraform and its providers run in. Without it bothyd takes what
# the kernel has by itself, and doctor says what that leaves open.

step_bubblewrap() {
  step=bubblewrap
  if have bwrap; then ok "$(bwrap --version)"; return; fi
  if ! have apt-get; then
    note 'not here, and no apt-get to install it: install bubblewrap by hand to confine Terraform wholly'
    return
  fi
  begin get 'no bubblewrap here: installing it with apt, to confine Terraform'
  apt_install bubblewrap
  have bwrap || fail 'bubblewrap is installed, and there is no bwrap' 'ls -l /usr/bin/bwrap'
  ended "$(bwrap --version)"
}
