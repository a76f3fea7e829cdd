#!/usr/bin/env bash
# Deactivates a plugin: removes its link from plugins/enabled, and waits until a running host has
# let it finish and unmapped it. Its library stays where it is.
#
#   ./scripts/deactivate_plugin.sh NAME
#
# The same as `patchbay plugin deactivate`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/find_patchbay.sh"

case "${1-}" in -h | --help) usage; exit 0 ;; esac
arguments $# 1 1
patchbay plugin deactivate "$@"
