#!/usr/bin/env bash
# Measures what the README claims, on this machine, and prints each figure beside its goal.
#
#   ./bench/run.sh             library and idle
#   ./bench/run.sh library     loads, calls and unloads libraries (10,000 cycles of each)
#   ./bench/run.sh idle        memory and threads of 500 idle plugins
#
# Messages per second, latency, durability and those it is compared with: ./bench/compare.sh.
# Quiet the machine first: two busy processors make every figure worse.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
-h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
'' | library | idle) ;;
*) printf 'error: there is no benchmark `%s`\ntry: %s --help\n' "$1" "$0" >&2; exit 2 ;;
esac

# Each plugin in a build of its own, as an author builds it: in one build cargo would unite the
# features of their dependencies, and a plugin would carry what only another one asked for.
for package in bench_ack bench_sleeper patchbay-bench; do
    cargo build --release --locked --quiet -p "$package"
done
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

printf 'commit %s, %s, %s processors\n' "$(git rev-parse --short HEAD)" "$(rustc --version)" "$(nproc)"
for bench in ${1:-library idle}; do
    printf '\n== %s\n' "$bench"
    "$target/release/$bench"
done
