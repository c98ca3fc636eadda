# Shared by the scripts: where things are, how to say what happens, how to start and end what runs. Sourced, not run.

set -euo pipefail

# Paths people give are meant from where they stand; the scripts work from the checkout.
caller=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

cache="${PARK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/park-twin}"
# Outside the checkout, so that a fresh clone builds on what the last one built.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
export PATH="$cache/tools/bin:$HOME/.cargo/bin:$PATH"

say() { printf '\033[1m▸ %s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
clear_line() { [ ! -t 2 ] || printf '\r%112s\r' '' >&2; }

# Starts a command in a process group of its own: a terminal's Ctrl-C then reaches this script only, and the script ends the
# whole tree. The group's number is in $started. The terminal stays, since sudo remembers by it who typed a password.
start_group() {
    set -m
    "$@" </dev/null &
    started=$!
    set +m
}

# Ends a group and waits for it, SECONDS at most, then kills it. Usage: end_group PID [SIGNAL [SECONDS]]
hurry=no
end_group() {
    local pid=$1 deadline=$((SECONDS + ${3:-10}))
    signal_group "$pid" "${2:-TERM}" || true
    while signal_group "$pid" 0; do
        if [ "$hurry" = yes ] || [ $SECONDS -ge "$deadline" ]; then
            signal_group "$pid" KILL || true
            break
        fi
        sleep 0.1 || true
    done
    wait "$pid" 2>/dev/null || true
}

# What root started for us only root may signal: see install_packages.
signal_group() {
    # In a trap a bare return gives the status of what the trap interrupted.
    kill -s "$2" -- "-$1" 2>/dev/null && return 0
    [ "${by_root:-no}" = yes ] && "${sudo[@]}" kill -s "$2" -- "-$1" 2>/dev/null
}

# Waits for a command of its own group with the output left alone; any end of this script ends it too. Usage: attend command …
attend() {
    local status=0
    start_group "$@"
    attended=$started
    wait "$attended" 2>/dev/null || status=$?
    attended=
    return "$status"
}

# Runs a long command quietly with a progress line; shows its end when it fails. Usage: step "what" command …
step() {
    local what=$1 status=0 since=$SECONDS
    shift
    step_log=$(mktemp "${TMPDIR:-/tmp}/park-step.XXXXXX")
    say "$what"
    start_group "$@" >"$step_log" 2>&1
    attended=$started
    while kill -0 "$attended" 2>/dev/null; do
        if [ -t 2 ]; then
            printf '\r  %4d s  %-100.100s' $((SECONDS - since)) "$(tail -n 1 "$step_log" 2>/dev/null | tr -d '\r')" >&2
        fi
        sleep 0.5 || true
    done
    wait "$attended" 2>/dev/null || status=$?
    attended=
    clear_line
    if [ "$status" -ne 0 ]; then
        tail -n 60 "$step_log" >&2
        rm -f "$step_log"
        fail "$what failed after $((SECONDS - since)) s (exit $status)"
    fi
    rm -f "$step_log"
    printf '  done in %d s\n' $((SECONDS - since)) >&2
}

# Ctrl-C and TERM end what runs, then the script, whose EXIT trap puts away the rest.
attended='' step_log='' patience=5
interrupted() {
    trap '' INT TERM HUP
    clear_line
    [ -z "$attended" ] || end_group "$attended" "$1" "$patience"
    rm -f "$step_log"
    exit "$2"
}
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted HUP 129' HUP

need_cargo() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer with rustup"
    # Cargo takes what another checkout built here for this one's wherever this one's files are older: then they look new.
    local last=$CARGO_TARGET_DIR/last-checkout
    if [ "$(cat "$last" 2>/dev/null)" != "$root" ]; then
        find . \( -name .git -o -name target -o -name var \) -prune -o -type f -exec touch -c {} +
        mkdir -p "$CARGO_TARGET_DIR"
        printf '%s' "$root" >"$last"
    fi
}

# A software Vulkan driver where there is no other, so that the client can render anywhere.
use_software_vulkan_if_needed() {
    local lavapipe
    lavapipe=$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1) || true
    if [ -z "${VK_ICD_FILENAMES:-}" ] && ! compgen -G '/dev/dri/renderD*' >/dev/null && [ -n "$lavapipe" ]; then
        export VK_ICD_FILENAMES=$lavapipe
    fi
}

# A TCP port nobody listens on.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

. "$root/scripts/packages.sh"
