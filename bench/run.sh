#!/usr/bin/env bash
# Loads, calls and unloads libraries (10,000 cycles of each), and prints each figure beside its goal.
#
#   ./bench/run.sh
#
# Everything else, and those it is compared with: ./bench/compare.sh.
# Quiet the machine first: two busy processors make every figure worse.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
-h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
'') ;;
*) printf 'error: what is `%s`?\ntry: %s --help\n' "$1" "$0" >&2; exit 2 ;;
esac

# Each plugin in a build of its own, as an author builds it: in one build cargo would unite the
# features of their dependencies, and a plugin would carry what only another one asked for.
for package in bench_ack bench_sleeper; do
    cargo build --release --locked --quiet -p "$package"
done
cargo build --release --locked --quiet -p patchbay-bench --bin library
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

printf 'commit %s, %s, %s processors\n\n' "$(git rev-parse --short HEAD)" "$(rustc --version)" "$(nproc)"
"$target/release/library"
