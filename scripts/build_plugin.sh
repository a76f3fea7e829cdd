#!/usr/bin/env bash
# Builds a plugin of plugins/workshop into plugins/libraries.
#
#   ./scripts/build_plugin.sh NAME              into plugins/libraries/development
#   ./scripts/build_plugin.sh NAME --release    into plugins/libraries/production
#
# The same as `patchbay plugin build`, which knows more options.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/find_patchbay.sh"

case "${1-}" in -h | --help) usage; exit 0 ;; esac
arguments $# 1 2
patchbay plugin build "$@"
