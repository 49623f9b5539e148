# shellcheck shell=bash
# terraform or tofu, and the Docker provider in a filesystem mirror.

step_terraform() {
  step=terraform
  if find_terraform; then ok "$terraform ($terraform_version)"; return; fi
  begin build "OpenTofu from its Go module, about 4 min on 2 cores: $terraform_missing"
  logged 'OpenTofu does not build' \
    build_module tofu github.com/opentofu/opentofu/cmd/tofu "$cache/bin/tofu" \
    -ldflags '-s -w -X github.com/opentofu/opentofu/version.dev=no'
  stamp tofu "$(tofu_key)"
  find_terraform || fail "the tofu just built does not run: $cache/bin/tofu"
  ended "$terraform ($terraform_version)"
}

tofu_key() { cat "$repo"/.setup/tofu/go.* | digest; }

# Sets $terraform and $terraform_version to the first that works: terraform on PATH, tofu on
# PATH, the tofu that we built. Else $terraform_missing says why there is none.
find_terraform() {
  terraform_missing='no terraform or tofu on PATH'
  local name version
  for name in terraform tofu "$cache/bin/tofu"; do
    terraform="$(command -v "$name")" || continue
    if [[ "$terraform" == "$cache/bin/tofu" ]]; then
      fresh tofu "$(tofu_key)" || continue
    fi
    version="$("$terraform" version 2>/dev/null | sed -n '1s/^[A-Za-z]* v//p')" || version=''
    if [[ -z "$version" ]]; then
      terraform_missing="$terraform does not run"
    elif ! newer "$version" "$TERRAFORM_MINIMUM"; then
      terraform_missing="$terraform is $version, older than $TERRAFORM_MINIMUM"
    else
      terraform_version="$version"
      return 0
    fi
  done
  terraform=''
  return 1
}

newer() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

step_provider() {
  step='docker provider'
  local platform address name binary key
  platform="$(go env GOOS GOARCH | paste -sd_)"
  address="kreuzwerker/docker/$DOCKER_PROVIDER_VERSION/$platform"
  name="terraform-provider-docker_v$DOCKER_PROVIDER_VERSION"
  binary="$cache/mirror/registry.terraform.io/$address/$name"
  key="$(cat "$repo"/.setup/providers/docker/go.* - <<<"$address" | digest)"
  if fresh provider "$key" && [[ -x "$binary" ]]; then ok "$DOCKER_PROVIDER_VERSION, in $cache/mirror"; return; fi

  mkdir -p "${binary%/*}"
  find_terraform || true
  if answers registry.terraform.io && [[ -n "$terraform" ]]; then
    begin get "kreuzwerker/docker $DOCKER_PROVIDER_VERSION from the Terraform registry, which answers"
    logged 'the Docker provider can be neither downloaded nor built' fetch_or_build_provider "$address/$name" "$binary"
  else
    begin build "kreuzwerker/docker $DOCKER_PROVIDER_VERSION from its Go module, about 3 min on 2 cores: no Terraform registry answers"
    logged 'the Docker provider does not build' build_provider "$binary"
  fi
  # OpenTofu reads the same short address as one of its own registry.
  local other="$cache/mirror/registry.opentofu.org/$address"
  mkdir -p "$other" && ln -f "$binary" "$other/$name"
  write_cli_config
  stamp provider "$key"
  ended "$cache/mirror"
}

build_provider() { # BINARY
  build_module providers/docker github.com/terraform-providers/terraform-provider-docker "$1" \
    -ldflags "-s -w -X main.version=$DOCKER_PROVIDER_VERSION"
}

# Something may answer at the registry's address without being it.
fetch_or_build_provider() { # ADDRESS BINARY
  if fetch_provider "$@"; then return; fi
  echo 'the registry did not give the provider: building it'
  build_provider "$2"
}

# terraform init downloads, checks the signature and unpacks to the layout that a mirror has.
fetch_provider() { # ADDRESS BINARY
  local work="$cache/tmp/provider"
  rm -rf "$work" && mkdir -p "$work" && cat >"$work/main.tf" <<TF || return
terraform {
  required_providers {
    docker = { source = "kreuzwerker/docker", version = "$DOCKER_PROVIDER_VERSION" }
  }
}
TF
  (cd "$work" && TF_CLI_CONFIG_FILE=/dev/null "$terraform" init -backend=false -input=false -no-color) &&
    cp "$work"/.terraform/providers/*/"$1" "$2.part" &&
    mv "$2.part" "$2" &&
    rm -rf "$work"
}

# For people and scripts that run terraform by hand with our mirror.
write_cli_config() {
  local names
  names="$(cd "$cache/mirror" && printf '"%s", ' */*/* | sed 's/, $//')"
  cat >"$cache/.terraform.rc" <<TF
# Made by bothy's setup. Use: TF_CLI_CONFIG_FILE=$cache/terraform.rc terraform init
provider_installation {
  filesystem_mirror {
    path    = "$cache/mirror"
    include = [$names]
  }
  direct {
    exclude = [$names]
  }
}
TF
  mv "$cache/.terraform.rc" "$cache/terraform.rc"
}
