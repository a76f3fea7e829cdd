#!/usr/bin/env bash
# Measures Patchbay and those it is compared with on the same work in the same run, and prints ratios.
#
#   ./bench/compare.sh                  everything, 7 rounds: tens of minutes
#   ./bench/compare.sh --quick          the main works, 3 short rounds: a few minutes once built
#   ./bench/compare.sh --only one,fan8  single works, or parts: process-local, servers, durable, growth
#   ./bench/compare.sh --allocations    counts allocations too, which slows everybody down
#   ./bench/compare.sh --rounds N --milliseconds N
#   ./bench/compare.sh --zenoh          builds zenoh too, which takes minutes
#   ./bench/compare.sh --out FOLDER     where table, lines and plots go (default: out/bench)
#
# Contenders take turns, A B C and then C B A, each in a process of its own; a ratio is taken inside a
# round, and the median of the rounds is printed. As root, what happens in one process runs in the
# class SCHED_FIFO, so that other work on the machine disturbs it less. Servers are started by
# bench/peers.sh in a temporary folder and stopped at the end; what it installed is removed, unless
# its servers ran before. With LD_PRELOAD another allocator can be measured, for everybody alike.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=out/bench features=servers arguments=() only='' quick=''
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) sed -n '2,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --quick) quick=yes ;;
    --only) only=$2; shift ;;
    --rounds | --milliseconds) arguments+=("$1" "$2"); shift ;;
    --allocations) arguments+=("$1") ;;
    --zenoh) features=servers,zenoh ;;
    --out) out=$2; shift ;;
    *) printf 'error: what is `%s`?\ntry: %s --help\n' "$1" "$0" >&2; exit 2 ;;
    esac
    shift
done
if [ -n "$quick" ]; then
    arguments=(--rounds 3 --milliseconds 200 "${arguments[@]}")
    only=${only:-one,one-b32,fan8,fan8-b32,in4,keyed,latency,request,nats,durable}
fi
[ -z "$only" ] || arguments+=(--only "$only")

was_up=yes
if ! ./bench/peers.sh status | grep -q 'process'; then was_up=''; fi
variables=$(./bench/peers.sh up)
# shellcheck disable=SC2064
[ -n "$was_up" ] || trap './bench/peers.sh down' EXIT
eval "$variables"

for package in bench_ack bench_job; do
    cargo build --release --locked --quiet -p "$package"
done
cargo build --release --locked --quiet -p patchbay-bench --bin contender --bin compare
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
# In a folder of its own: other features of shared crates would rebuild the product each time.
CARGO_TARGET_DIR=$target/peers cargo build --release --locked --quiet \
    --manifest-path bench/peers/Cargo.toml --features "$features"

"$target/release/compare" --product "$target/release/contender" \
    --peers "$target/peers/release/patchbay-peers" --out "$out" \
    --allocator "${LD_PRELOAD:-glibc malloc}" "${arguments[@]}"
printf 'written to %s\n' "$out"
