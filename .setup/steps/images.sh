# shellcheck shell=bash
# The sandbox images. What they were made from is a label on them, so the engine itself
# remembers what is done, whichever cache folder asks.

step_images() {
  step_base
  local folder
  for folder in "$repo"/modules/images/*/; do
    folder="${folder%/}"
    [[ "${folder##*/}" == base || ! -f "$folder/Dockerfile" ]] || step_image "$folder"
  done
}

image_label() { docker image inspect "$1" --format "{{index .Config.Labels \"$2\"}}" 2>/dev/null || true; }
image_id() { docker image inspect "$1" --format '{{.Id}}' 2>/dev/null || true; }

# drop_old NAME ID: removes what NAME was before, unless something still uses it.
drop_old() {
  if [[ -n "$2" && "$(image_id "$1")" != "$2" ]]; then
    docker image rm "$2" >>"$log" 2>&1 || note "the image before it ($2) is in use and stays"
  fi
}

# docker_build KEY KIND TAG FOLDER
docker_build() {
  local kit=0
  if docker buildx version >/dev/null 2>&1; then kit=1; fi
  # The default builder is the only one that sees the engine's own images.
  DOCKER_BUILDKIT=$kit BUILDX_BUILDER=default docker build \
    --label "bothy.image=$2" --label "bothy.recipe=$1" -t "$3" "$4"
}

step_image() { # FOLDER
  local kind="${1##*/}" name key old why='not there yet'
  name="bothy/$kind" step="image $name"
  key="$( (folder_digest "$1"; image_id bothy/base) | digest)"
  if [[ "$(image_label "$name" bothy.recipe)" == "$key" ]]; then ok "$(image_id "$name" | cut -c8-19)"; return; fi
  old="$(image_id "$name")"
  if [[ -n "$old" ]]; then why='its folder or the base image changed'; fi
  begin build "from modules/images/$kind: $why"
  logged "the image $name does not build" docker_build "$key" "$kind" "$name" "$1"
  drop_old "$name" "$old"
  ended "$(image_id "$name" | cut -c8-19)"
}
