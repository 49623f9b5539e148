# shellcheck shell=bash disable=SC2034  # read by the scripts that source this
# The versions that setup pins and that no go.mod can say.

# The release that the commit in providers/docker/go.mod follows: what the built binary is
# laid out as, and what is fetched where a Terraform registry answers.
DOCKER_PROVIDER_VERSION=4.6.0

# terraform_data, which blueprints use, came with 1.4.
TERRAFORM_MINIMUM=1.4.0

# The Debian release that sandbox images are made of.
BASE_SUITE=bookworm

# The Debian releases whose Docker engines make e2e-engines tries: 26 and 28 when this was written.
ENGINE_RELEASES='trixie forky'

# The Debian release that make e2e-vm boots, with systemd and cgroup v2.
VM_RELEASE=trixie
