# Sourced by the other scripts: `patchbay` runs the binary of this repository on this folder.
#
# The newer one of the release and the debug build is taken; when there is none it is built.
# PATCHBAY names another binary, PATCHBAY_HOME another home folder.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

patchbay() {
    local binary=${PATCHBAY-} target=${CARGO_TARGET_DIR:-$repository/target} build
    if [ -z "$binary" ]; then
        for build in "$target/release/patchbay" "$target/debug/patchbay"; do
            if [ -x "$build" ] && { [ -z "$binary" ] || [ "$build" -nt "$binary" ]; }; then
                binary=$build
            fi
        done
    fi
    if [ -z "$binary" ]; then
        command -v cargo >/dev/null || {
            printf 'error: cargo is missing\n  try: install Rust from https://rustup.rs\n' >&2
            return 1
        }
        printf 'building patchbay, once\n' >&2
        cargo build --manifest-path "$repository/Cargo.toml" -p patchbay || return
        binary=$target/debug/patchbay
    fi
    PATCHBAY_HOME=${PATCHBAY_HOME:-$repository} "$binary" "$@"
}

# Prints the comment at the top of a script.
usage() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

# Ends with wrong usage unless there are between $2 and $3 arguments.
arguments() {
    local count=$1 least=$2 most=$3
    if [ "$count" -lt "$least" ] || [ "$count" -gt "$most" ]; then
        usage >&2
        exit 2
    fi
}
