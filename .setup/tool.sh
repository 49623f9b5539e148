#!/usr/bin/env bash
# Runs a developer's tool, built from its pinned module on first use: tool.sh NAME ARGUMENT...
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$repo/.setup/steps/tools.sh"

name="$1"
shift
lock
"step_${name//-/_}"
exec 9>&-
exec "$cache/tools/$name" "$@"
