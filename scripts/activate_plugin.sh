#!/usr/bin/env bash
# Activates a built plugin: links it into plugins/enabled, and waits for what a running host makes
# of it. Without a host it takes effect at the next start.
#
#   ./scripts/activate_plugin.sh NAME                 from plugins/libraries/development
#   ./scripts/activate_plugin.sh NAME production      from plugins/libraries/production
#
# The same as `patchbay plugin activate`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/find_patchbay.sh"

case "${1-}" in -h | --help) usage; exit 0 ;; esac
arguments $# 1 2
patchbay plugin activate "$@"
