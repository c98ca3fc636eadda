# Shared by the scripts: where things are, what is installed, how to say what happens. Sourced, not run.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

cache="${PARK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/park-twin}"
# Outside the checkout, so that a fresh clone builds on what the last one built.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
export PATH="$cache/tools/bin:$HOME/.cargo/bin:$PATH"

say() { printf '\033[1m▸ %s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a long command quietly with a progress line; shows its end when it fails. Usage: step "what" command …
step() {
    local what=$1 log status=0 started=$SECONDS
    shift
    log=$(mktemp "${TMPDIR:-/tmp}/park-step.XXXXXX")
    say "$what"
    "$@" >"$log" 2>&1 &
    local pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ -t 2 ]; then
            printf '\r  %4d s  %-100.100s' $((SECONDS - started)) "$(tail -n 1 "$log" 2>/dev/null | tr -d '\r')" >&2
        fi
        sleep 0.5
    done
    wait "$pid" || status=$?
    [ -t 2 ] && printf '\r%112s\r' '' >&2
    if [ "$status" -ne 0 ]; then
        tail -n 60 "$log" >&2
        rm -f "$log"
        fail "$what failed after $((SECONDS - started)) s (exit $status)"
    fi
    rm -f "$log"
    printf '  done in %d s\n' $((SECONDS - started)) >&2
}

build_packages=(clang libclang-dev mold cmake pkg-config make g++ libasound2-dev libudev-dev libwayland-dev
    libxkbcommon-dev libxkbcommon-x11-0 libx11-dev)
render_packages=(mesa-vulkan-drivers libvulkan1)
test_packages=(postgresql mosquitto mosquitto-clients python3-venv xvfb)

# Installs the Debian packages that are missing, saying which; names them on other systems.
need_packages() {
    local missing=()
    if ! command -v dpkg-query >/dev/null; then
        for tool in clang mold cmake pkg-config; do command -v "$tool" >/dev/null || missing+=("$tool"); done
        [ ${#missing[@]} -eq 0 ] || fail "this is not Debian or Ubuntu; install by hand what these packages hold: $*"
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing system packages: ${missing[*]}"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "run as root, or install: ${missing[*]}"
    step "package lists" "${sudo[@]}" apt-get update
    step "packages" "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

need_cargo() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer with rustup"
}

# A software Vulkan driver where there is no other, so that the client can render anywhere.
use_software_vulkan_if_needed() {
    local lavapipe=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json
    if [ -z "${VK_ICD_FILENAMES:-}" ] && ! ls /dev/dri/renderD* >/dev/null 2>&1 && [ -e "$lavapipe" ]; then
        export VK_ICD_FILENAMES=$lavapipe
    fi
}

# A TCP port nobody listens on.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
