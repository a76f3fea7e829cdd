#!/usr/bin/env bash
# Measures Patchbay and those it is compared with on the same work in the same run, and prints ratios.
#
#   ./bench/compare.sh                  everything, 7 rounds: about twenty minutes once built
#   ./bench/compare.sh --quick          what a goal is set for, 3 short rounds: under five minutes once built
#   ./bench/compare.sh --only one,fan8  single works, or parts: process-local, servers, durable,
#                                       transitions, growth, library
#   ./bench/compare.sh --rounds N --milliseconds N
#   ./bench/compare.sh --fifo           everybody who needs no server in the class SCHED_FIFO (as root):
#                                       other work disturbs less, and nobody preempts whoever woke him
#   ./bench/compare.sh --zenoh          with zenoh, which takes minutes to build
#   ./bench/compare.sh --instructions   counts the instructions of a message too, with Callgrind, for `one`
#                                       and `one-b32`: a minute or two more
#   ./bench/compare.sh --out FOLDER     where tables, lines and plots go (default: out/bench)
#   ./bench/compare.sh --publish        everything, with zenoh and instructions, into bench/results and the
#                                       table of the README
#
# Contenders take turns, A B C and then C B A, each in a process of its own; a ratio is taken inside a
# round, and the median of the rounds is printed. Servers are started by bench/peers.sh in a temporary
# folder and stopped at the end; what it installed is removed, unless its servers ran before. With
# LD_PRELOAD another allocator can be measured, for everybody alike. Quiet the machine first: two busy
# processors make every figure worse, and not everybody's alike.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=out/bench features=servers arguments=() only='' publish='' instructions=''
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) sed -n '2,24s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --quick) arguments=(--goals --rounds 3 --milliseconds 200 "${arguments[@]}") ;;
    --only) only=$2; shift ;;
    --rounds | --milliseconds) arguments+=("$1" "$2"); shift ;;
    --fifo) arguments+=("$1") ;;
    --zenoh) features=servers,zenoh ;;
    --out) out=$2; shift ;;
    --instructions) instructions=yes ;;
    --publish) publish=yes out=bench/results features=servers,zenoh instructions=yes ;;
    *) printf 'error: what is `%s`?\ntry: %s --help\n' "$1" "$0" >&2; exit 2 ;;
    esac
    shift
done
if [ "$only" = library ]; then exec ./bench/run.sh; fi
[ -z "$only" ] || arguments+=(--only "$only")

for package in bench_ack bench_job; do
    cargo build --release --locked --quiet -p "$package"
done
# Together: apart, they would ask for different features of shared crates, and build those twice.
cargo build --release --locked --quiet -p patchbay --bin patchbay -p patchbay-bench --bin contender
cargo build --release --locked --quiet -p patchbay-compare
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

was_up=''
case "$(./bench/peers.sh status)" in *process*) was_up=yes ;; esac
variables=$(./bench/peers.sh up)
[ -n "$was_up" ] || trap './bench/peers.sh down' EXIT
eval "$variables"
if [ -n "$instructions" ]; then
    # Left out where it cannot be had: the table says so too.
    arguments+=(--instructions)
    command -v valgrind >/dev/null || ./bench/peers.sh need valgrind ||
        printf '\nwarning: INSTRUCTIONS ARE NOT COUNTED, valgrind cannot be installed here\ntry: apt-get install valgrind\n\n' >&2
fi
# In a folder of its own: other features of shared crates would rebuild the product each time.
CARGO_TARGET_DIR=$target/peers cargo build --release --locked --quiet \
    --manifest-path bench/peers/Cargo.toml --features "$features"

if [ -n "$publish" ]; then
    rm -f "$out"/*.svg
    arguments+=(--page README.md)
fi
"$target/release/patchbay-compare" --product "$target/release/contender" \
    --peers "$target/peers/release/patchbay-peers" --out "$out" \
    --allocator "${LD_PRELOAD:-glibc malloc}" "${arguments[@]}"
if [ -n "$publish" ]; then
    { printf '## Libraries (`bench/run.sh`)\n\n```\n'; ./bench/run.sh; printf '```\n'; } >>"$out/README.md"
fi
printf 'written to %s\n' "$out"
