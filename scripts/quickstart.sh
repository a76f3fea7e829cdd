#!/usr/bin/env bash
# Shows Patchbay at work, in one go: builds the host and four plugins, activates the plugins while
# the host runs, sends two real transcripts through them, and shows what became of every message.
#
#   ./scripts/quickstart.sh           show it, and stop
#   ./scripts/quickstart.sh --stay    show it, and keep the host running until Ctrl-C
#
# Needs Rust and a C compiler, nothing else. The host lives in this folder and listens on the
# socket run/patchbay.sock. The results are kept in out/quickstart; every run begins anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

RUST_PLUGINS=(transcript_intake transcript_review transcript_publish)
PLUGINS=("${RUST_PLUGINS[@]}" topic_counter)
SAMPLES=plugins/workshop/samples
OUT=out/quickstart
GLOSSARY_LATE=5      # seconds that the glossary service is away at first
SETTLE_MAX=120       # seconds that the messages may take

# --- saying things ------------------------------------------------------------------------------

if [ -t 1 ]; then BOLD=$'\e[1m' DIM=$'\e[2m' OFF=$'\e[0m' TTY=1; else BOLD='' DIM='' OFF='' TTY=0; fi

usage() { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
step() { printf '\n%s%s%s\n' "$BOLD" "$*" "$OFF"; }
note() { printf '  %s\n' "$*"; }
# Shows a command the way a reader would type it.
show() {
    local word text=''
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./:=@%+,-]*) word="'$word'" ;; esac
        text+=" $word"
    done
    printf '  %s$%s%s\n' "$DIM" "$text" "$OFF"
}
run() { show "$@" && "$@"; }
die() {
    printf '\nerror: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  try: %s\n' "${@:2}" >&2
    exit 1
}

# --- ending what was begun ----------------------------------------------------------------------

HOST_PID='' GLOSSARY_PID='' ACTIVATED=()

# Ends a child by its number, and waits until it is gone.
end() {
    local pid=$1
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# Whatever happens, nothing of ours stays behind: no process, and no link of a plugin.
clean_up() {
    local status=$? name
    trap - EXIT INT TERM
    [ -z "$HOST_PID" ] || printf '\nstopping the host\n' >&2
    [ -z "$GLOSSARY_PID" ] || end "$GLOSSARY_PID"
    [ -z "$HOST_PID" ] || end "$HOST_PID"
    for name in ${ACTIVATED[@]+"${ACTIVATED[@]}"}; do rm -f "plugins/enabled/$name"; done
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- reading the ledger -------------------------------------------------------------------------

LEDGER=''

patchbay() { "$PATCHBAY" "$@"; }

look() { LEDGER=$(patchbay ledger -o json) && LEDGER=${LEDGER//[[:space:]]/}; }

# Sum of one column over the subscriptions of a plugin, or over all with `*`.
count() {
    local plugin=$1 column=$2 rest=$LEDGER row name sum=0
    while [[ $rest == *'{"plugin":"'* ]]; do
        rest=${rest#*'{"plugin":"'}
        row=${rest%%'{"plugin":"'*} name=${rest%%'"'*}
        [[ $name == "$plugin" || $plugin == '*' ]] || continue
        [[ $row =~ \"$column\":([0-9]+) ]] && sum=$((sum + BASH_REMATCH[1]))
    done
    printf '%s' "$sum"
}

# Each dead letter with its number, its plugin and its reason.
show_dead_letters() {
    local line value number plugin
    patchbay dlq list -o json | while IFS= read -r line; do
        value=${line#*: } value=${value%,} value=${value#\"} value=${value%\"}
        case $line in
        '    "number": '*) number=$value ;;
        '    "plugin": '*) plugin=$value ;;
        '    "reason": '*)
            printf '%s\n' "${value//\\\"/\"}" | fold -s -w 70 | {
                IFS= read -r line && printf '  %3s  %-18s %s\n' "$number" "$plugin" "${line% }"
                while IFS= read -r line; do printf '%26s%s\n' '' "${line% }"; done
            }
            ;;
        esac
    done
}

# How many deliveries have no final outcome yet.
open_deliveries() { printf '%s' $(($(count '*' queued) + $(count '*' delayed) + $(count '*' in_flight))); }

# Shows where the messages are: on a terminal in place, elsewhere when something has changed.
LAST=''
show_progress() {
    local text
    text="published $(count transcript_publish done), asked back later $(count transcript_review retried)"
    text+=" times, refused $(($(count transcript_intake dead) + $(count transcript_review dead)))"
    text+=", waiting $(($(count transcript_review queued) + $(count transcript_review delayed)))"
    [ "$text" != "$LAST" ] || return 0
    LAST=$text
    if [ "$TTY" = 1 ]; then printf '\r\e[K  %s' "$text"; else note "$text"; fi
}
end_progress() { [ "$TTY" = 0 ] || printf '\n'; LAST=''; }

# --- 1. tools -----------------------------------------------------------------------------------

STAY=0
case "${1-}" in
'') ;;
--stay) STAY=1 ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac

command -v cargo >/dev/null || die "Rust is missing (cargo)" "install it from https://rustup.rs, then open a new terminal"
command -v cc >/dev/null || die "a C compiler is missing (cc)" "apt-get install gcc, or what your system calls it"

# --- 2. build -----------------------------------------------------------------------------------

step "1/7  Build the host, four plugins and a small glossary service"
note "The first time takes some minutes, most of them for libraries of others."
export PATCHBAY_HOME=$PWD
TARGET=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
PATCHBAY=$TARGET/debug/patchbay
GLOSSARY=$TARGET/debug/examples/glossary
export PATCHBAY
run cargo build --locked -p patchbay
run cargo build --locked -p transcript_review --example glossary

if patchbay status >/dev/null 2>&1; then
    die "a host runs in this folder already: it answers on run/patchbay.sock" \
        "$PATCHBAY shutdown    (or Ctrl-C where it was started), then this script again"
fi
for name in "${PLUGINS[@]}"; do run ./scripts/build_plugin.sh "$name"; done

# --- 3. host ------------------------------------------------------------------------------------

step "2/7  Start the host, with nothing in it yet"
rm -rf "$OUT"
mkdir -p "$OUT"
for name in "${PLUGINS[@]}"; do rm -f "plugins/enabled/$name"; done
# The address is chosen now and nobody listens there yet: the service comes later.
URL=$("$GLOSSARY" --pick)
cat >"$OUT/patchbay.yaml" <<YAML
plugins:
  transcript_review:
    config: { glossary: { url: '$URL' } }
  transcript_publish:
    config: { output: { dir: '${PWD//\'/\'\'}/$OUT/transcripts' } }
YAML
note "$DIM\$ patchbay up --config $OUT/patchbay.yaml &$OFF"
# In a process group of its own, so that Ctrl-C here reaches this script only, which then ends it.
set -m
"$PATCHBAY" up --config "$OUT/patchbay.yaml" >"$OUT/host.out" 2>"$OUT/host.log" &
HOST_PID=$!
set +m
until patchbay wait --timeout 1s >/dev/null 2>&1; do
    kill -0 "$HOST_PID" 2>/dev/null || {
        wait "$HOST_PID" && status=0 || status=$?
        HOST_PID=''
        cat "$OUT/host.log" >&2
        die "the host did not start (status $status)" "read the lines above; they are in $OUT/host.log"
    }
done
note "$(head -n 1 "$OUT/host.out")"

# --- 4. plugins ---------------------------------------------------------------------------------

step "3/7  Activate the plugins while it runs"
note "Each is a library, a symlink in plugins/enabled, and a host that notices."
for name in "${PLUGINS[@]}"; do
    ACTIVATED+=("$name")
    run ./scripts/activate_plugin.sh "$name" development
done
printf '\n'
patchbay plugin list -o table

# --- 5. messages --------------------------------------------------------------------------------

step "4/7  Publish two transcripts, and one message that makes no sense"
note "The landing of Apollo 11 as one WebVTT file, the Gettysburg Address line by line."
run patchbay publish transcript.raw --file "$SAMPLES/apollo-11-landing.vtt" \
    --key apollo-11-landing --header content-type=text/vtt
ADDRESS=(patchbay publish transcript.raw --lines --file "$SAMPLES/gettysburg-address.txt" --key gettysburg-address)
show "${ADDRESS[@]}"
"${ADDRESS[@]}" >"$OUT/published.jsonl"
note "$(wc -l <"$OUT/published.jsonl") messages"
run patchbay publish transcript.raw '{"speaker": "CC", "words": "Roger."}'

step "5/7  Watch them flow"
note "The reviewer looks up names at $URL, where nobody answers for ${GLOSSARY_LATE} s: it asks for"
note "its messages again later. Nothing is lost, and nothing is counted as a failure."
SECONDS=0
while [ "$SECONDS" -lt "$GLOSSARY_LATE" ]; do
    look && show_progress
    sleep 0.2
done
end_progress
note "Now the glossary service starts."
set -m
"$GLOSSARY" --port "${URL##*:}" >"$OUT/glossary.out" 2>&1 &
GLOSSARY_PID=$!
set +m
SECONDS=0 quiet=0
# Twice in a row: subscriptions are counted one after the other, and a message may pass meanwhile.
while [ "$quiet" -lt 2 ]; do
    look || die "the host does not answer any more" "look into $OUT/host.log"
    show_progress
    if [ "$(open_deliveries)" -gt 0 ]; then quiet=0; else quiet=$((quiet + 1)); fi
    kill -0 "$GLOSSARY_PID" 2>/dev/null ||
        die "the glossary service ended: $(cat "$OUT/glossary.out")" "run the script again; it takes another port"
    [ "$SECONDS" -lt "$SETTLE_MAX" ] || die "messages are still open after $SETTLE_MAX s" "look into $OUT/host.log"
    sleep 0.2
done
end_progress

# --- 6. results ---------------------------------------------------------------------------------

step "6/7  What became of every message"
printf '\n  %-20s %9s %13s %10s %13s %13s\n' plugin accepted acknowledged forwarded 'asked later' 'dead letters'
for name in "${PLUGINS[@]}"; do
    printf '  %-20s %9s %13s %10s %13s %13s\n' "$name" "$(count "$name" accepted)" "$(count "$name" done)" \
        "$(count "$name" forwarded)" "$(count "$name" retried)" "$(count "$name" dead)"
done
printf '\n'
note "Acknowledged: done. Forwarded: done here, and on to another topic in the same step."
note "Asked later: RetryLater, tried again after a while. Dead letters: Failed, each with its reason:"
printf '\n'
show_dead_letters

for transcript in apollo-11-landing gettysburg-address; do
    file=$OUT/transcripts/$transcript
    [ -s "$file.jsonl" ] || die "$file.jsonl is missing or empty" "look into $OUT/host.log"
done
LINES_OUT=$(cat "$OUT"/transcripts/*.jsonl | wc -l)
[ "$LINES_OUT" -eq "$(count transcript_publish done)" ] ||
    die "$LINES_OUT lines were written for $(count transcript_publish done) published segments" "look into $OUT/host.log"
step "     What came out: $((LINES_OUT)) segments, each once"
file=$OUT/transcripts/apollo-11-landing
note "$file.md, around the landing:"
printf '\n'
grep -A 21 'CONTACT LIGHT' "$file.md" | sed 's/^./    &/'
printf '\n'
note "$file.jsonl, first line:"
printf '\n    '
head -n 1 "$file.jsonl"

# --- 7. end -------------------------------------------------------------------------------------

next() {
    note "export PATCHBAY_HOME=$PWD PATH=$TARGET/debug:\$PATH"
    note "patchbay plugin info transcript_review        its settings, metrics and spans"
    note "patchbay dlq show 1                           a dead letter: the message and its history"
    note "patchbay ledger                               where the messages of every subscription are"
    note "patchbay subscribe 'transcript.>'             watch messages pass"
    note "patchbay publish transcript.raw '{\"speaker\": \"CC\", \"text\": \"Eagle, you are GO.\"}'"
    note "./scripts/deactivate_plugin.sh topic_counter  unload a library while messages flow"
    note "patchbay plugin new greeter                   a plugin of your own, in Rust or --template c"
}

if [ "$STAY" = 1 ]; then
    step "7/7  The host keeps running. Try in another terminal:"
    next
    printf '\n%sCtrl-C stops it.%s\n' "$BOLD" "$OFF"
    trap : INT TERM
    wait "$HOST_PID" || true
    trap 'exit 130' INT
    trap 'exit 143' TERM
    kill -0 "$HOST_PID" 2>/dev/null || die "the host has ended by itself" "look into $OUT/host.log"
fi

step "7/7  Stop"
for name in "${PLUGINS[@]}"; do run ./scripts/deactivate_plugin.sh "$name" || true; done
ACTIVATED=()
show kill -TERM "$HOST_PID"
kill -TERM "$HOST_PID"
wait "$HOST_PID" && status=0 || status=$?
HOST_PID=''
[ "$status" = 0 ] || die "the host ended with status $status instead of 0" "look into $OUT/host.log"
note "The host has ended in an orderly way (status 0). The results are in $OUT."

step "Try next: ./scripts/quickstart.sh --stay, and in another terminal"
next
