#!/usr/bin/env bash
# Runs the tests that kill, fill, poison and cut the power of a real host, in rotation, for as long
# as you give it; says how many rounds of each kind it reached, and how to run a failure again.
#
#   ./scripts/chaos.sh                         ten minutes of everything
#   ./scripts/chaos.sh --budget 8h             as long as that: 90s, 45m, 8h
#   ./scripts/chaos.sh --only kill             one kind (kill, poison, fault, ending, late, ring, slow,
#                                              delays, full, power; churn and deaths, random
#                                              transitions; without a host: simulation, states of a
#                                              crash, flips of bits, errors of the system)
#   ./scripts/chaos.sh --only kill --seed 7 --rounds 200     one run, again
#
# Needs Rust and a C compiler; `full` and `power` mount small file systems where that is allowed, in
# mounts of their own, and say so where it is not. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What each kind is called among the tests, and its rounds in one turn of the rotation.
declare -A TEST=(
    [kill]=kill:: [poison]=poison:: [fault]=fault:: [ending]=ending::a_handler [late]=ending::an_answer
    [ring]=flow::a_ring [slow]=flow::a_slow [delays]=flow::a_hundred [full]=full:: [power]=power::
    [simulation]=on_every_seed [states]=crash_states:: [flips]=a_flipped_bit [errors]=failures:: [churn]=churn::random [deaths]=churn::killed::a_host
)
declare -A ROUNDS=(
    [kill]=200 [poison]=5 [fault]=9 [ending]=5 [late]=5 [ring]=5 [slow]=5 [delays]=1 [full]=20 [power]=20
    [simulation]=20000 [states]=200000 [flips]=20000 [errors]=16 [churn]=2000 [deaths]=60
)
KINDS=(simulation states flips errors kill poison fault ending late ring slow delays full power churn deaths)

usage() { sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
die() { printf 'error: %s\n' "$1" >&2; usage >&2; exit 2; }

seconds() {
    case $1 in
    *[!0-9smh]* | '') die "$1 is no time: 90s, 45m or 8h" ;;
    *h) echo $((${1%h} * 3600)) ;;
    *m) echo $((${1%m} * 60)) ;;
    *s) echo "${1%s}" ;;
    *) die "$1 has no unit: 90s, 45m or 8h" ;;
    esac
}

BUDGET=600 ONCE=0 SEED='' TURNS=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --budget) BUDGET=$(seconds "${2-}") && shift 2 ;;
    --only) [ -n "${TEST[${2-}]-}" ] || die "no kind is called \"${2-}\""; KINDS=("$2") && shift 2 ;;
    --seed) SEED=${2-} && shift 2 ;;
    --rounds) TURNS=${2-} && shift 2 ;;
    *) die "$1 is not known" ;;
    esac
done
case "$SEED$TURNS" in *[!0-9]*) die "seeds and rounds are numbers" ;; esac
if [ -n "$SEED" ]; then
    [ ${#KINDS[@]} = 1 ] || die "a seed is one of a kind: --only says which"
    ONCE=1
fi

cargo test --locked -p patchbay --test chaos -p patchbay-model --test simulation --no-run
cargo test --locked -p patchbay-journal --test it --no-run
declare -A REACHED=()
OUT=$(mktemp)
END=$((SECONDS + BUDGET)) FAILED=0 BEGUN=0

# However it ends, it says how far it came.
told() {
    rm -f "$OUT"
    printf '\n'
    for kind in "${KINDS[@]}"; do printf '%-8s %8s rounds\n' "$kind" "${REACHED[$kind]-0}"; done
    printf '%s turns failed in %s s\n' "$FAILED" "$((SECONDS - BEGUN))"
}
trap told EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
BEGUN=$SECONDS

while :; do
    for kind in "${KINDS[@]}"; do
        seed=${SEED:-$((RANDOM << 45 ^ RANDOM << 30 ^ RANDOM << 15 ^ RANDOM))}
        rounds=${TURNS:-${ROUNDS[$kind]}}
        printf '\n== %s, seed %s\n' "$kind" "$seed"
        tests=(-p patchbay --test chaos)
        case $kind in
        simulation) tests=(-p patchbay-model --test simulation) ;;
        states | flips | errors) tests=(-p patchbay-journal --test it) ;;
        churn | deaths) tests=(-p patchbay-host --test it) ;;
        esac
        if PATCHBAY_CHAOS_SEED=$seed PATCHBAY_CHAOS_ROUNDS=$rounds \
            PATCHBAY_FIRST_SEED=$seed PATCHBAY_SEEDS=$rounds \
            cargo test --quiet --locked "${tests[@]}" -- --nocapture "${TEST[$kind]}" 2>&1 | tee "$OUT" |
            grep -E '^(chaos|SKIPPED|  [a-z].*: [0-9]+$|[0-9]+ (cutovers|deliveries) )'; then
            grep -q '^SKIPPED' "$OUT" || REACHED[$kind]=$((${REACHED[$kind]-0} + rounds))
        fi
        if ! grep -q '^test result: ok' "$OUT"; then
            cat "$OUT" >&2
            FAILED=$((FAILED + 1))
            printf 'again: ./scripts/chaos.sh --only %s --seed %s --rounds %s\n' "$kind" "$seed" "$rounds" >&2
        fi
        [ "$ONCE" = 0 ] && [ "$SECONDS" -lt "$END" ] || break 2
    done
done
[ "$FAILED" = 0 ]
