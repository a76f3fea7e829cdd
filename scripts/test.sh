#!/usr/bin/env bash
# Runs every check of the repository: formatting, lints, tests, documentation.
#
#   ./scripts/test.sh            everything
#   ./scripts/test.sh loader     only the tests of one crate (patchbay-loader), and its lints
#
# Needs Rust (rustup installs the components below) and a C compiler. Starts no server, uses no
# fixed port or path, leaves nothing behind outside `target/`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
step() { printf '\n== %s\n' "$*"; }
missing() { printf 'error: %s is missing\ntry: %s\n' "$1" "$2" >&2; exit 2; }

case "${1-}" in
-h | --help) usage; exit 0 ;;
esac

command -v cargo >/dev/null || missing cargo "install Rust from https://rustup.rs"
command -v cc >/dev/null || missing "a C compiler (cc)" "apt-get install gcc"
cargo fmt --version >/dev/null 2>&1 || missing rustfmt "rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || missing clippy "rustup component add clippy"

if [ $# -gt 0 ]; then
    what=(-p "patchbay-${1#patchbay-}")
    [ "$1" = app ] && what=(-p patchbay)
else
    what=(--workspace)
fi

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy "${what[@]}" --all-targets --all-features --locked -- -D warnings

step "tests"
cargo test "${what[@]}" --all-features --locked

if [ $# -eq 0 ] || [ "$1" = fence ]; then
    step "the cutover fence in every order of its steps"
    RUSTFLAGS="--cfg loom" cargo test -p patchbay-fence --test loom --release --locked \
        --target-dir "${CARGO_TARGET_DIR:-target}/loom"
fi

if [ $# -eq 0 ]; then
    step "documentation"
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked
fi
printf '\nall checks passed\n'
