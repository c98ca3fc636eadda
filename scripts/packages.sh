# What the scripts need of the system, under its Debian name, and how it gets there. Sourced by lib.sh.

build_packages=(clang libclang-dev mold cmake pkg-config make g++ libasound2-dev libudev-dev libwayland-dev
    libxkbcommon-dev libxkbcommon-x11-0 libx11-dev)
render_packages=(mesa-vulkan-drivers libvulkan1)
test_packages=(postgresql mosquitto mosquitto-clients python3-venv curl)
# VictoriaMetrics is what the telemetry store is measured beside.
bench_packages=(curl python3 victoria-metrics)

# Whether a person may be asked for a password; `--headless` and CI say no.
may_ask=yes
[ -z "${CI:-}" ] || may_ask=no

# Installs the Debian packages that are missing, saying which; names what is missing on other systems.
need_packages() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        for package in "$@"; do
            is_there "$package" || missing+=("$(in_words "$package")")
        done
        [ ${#missing[@]} -eq 0 ] ||
            fail "this is not Debian or Ubuntu; install by hand:$(printf '\n  - %s' "${missing[@]}")"
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
    # apt is told to stop, never killed: half an installation is worse than a minute's wait.
    local sudo=() by_root=no patience=600
    say "installing system packages: $*"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root, or install: $*"
        if ! sudo -n true 2>/dev/null; then
            [ "$may_ask" = yes ] || fail "sudo would ask for a password, and nobody is to be asked here; install: $*"
            sudo -v || fail "without sudo these packages must be installed by hand: $*"
        fi
        sudo=(sudo -n) by_root=yes
    fi
    step "package lists" "${sudo[@]}" apt-get update
    step "packages" "${sudo[@]}" sh -c "$install_quietly" apt "$@"
}

# Debian starts a service as soon as its package is there, and at every boot: a broker on port 1883 would be in the demo's way.
# While apt runs a policy-rc.d forbids starting (unless the machine has a policy of its own), and what came is not enabled.
# Run by sh as root with the packages as arguments.
install_quietly='
policy=/usr/sbin/policy-rc.d mark="made by the scripts of the park twin while apt runs"
made=no
put_away() { [ "$made" = no ] || rm -f "$policy"; }
trap put_away EXIT
trap "exit 130" INT
trap "exit 143" TERM
trap "exit 129" HUP
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
    made=yes
    printf "#!/bin/sh\n# %s\nexit 101\n" "$mark" >"$policy" && chmod 755 "$policy" || exit 1
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || exit
[ -d /run/systemd/system ] || exit 0
for package in "$@"; do
    case $package in mosquitto | postgresql) systemctl disable "$package.service" ;; esac
done
'

# Whether what a Debian package holds is there, on a system with other packages.
is_there() {
    case $1 in
        libclang-dev) [ -n "${LIBCLANG_PATH:-}" ] || any_file /usr/lib*/{,*/}{,*/}libclang{,-*}.so* /usr/local/lib*/libclang*.so* ;;
        g++) command -v g++ >/dev/null || command -v clang++ >/dev/null ;;
        pkg-config) command -v pkg-config >/dev/null || command -v pkgconf >/dev/null ;;
        libasound2-dev) has_module alsa ;;
        libudev-dev) has_module libudev ;;
        libwayland-dev) has_module wayland-client ;;
        libxkbcommon-dev) has_module xkbcommon ;;
        libxkbcommon-x11-0) has_library libxkbcommon-x11.so.0 ;;
        libx11-dev) has_module x11 ;;
        libvulkan1) has_library libvulkan.so.1 ;;
        mesa-vulkan-drivers)
            [ -n "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] || any_file /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json ;;
        postgresql) [ -n "$(postgres_folder)" ] ;;
        mosquitto) command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] ;;
        mosquitto-clients) command -v mosquitto_pub >/dev/null && command -v mosquitto_sub >/dev/null ;;
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

in_words() {
    case $1 in
        libclang-dev) echo "libclang, the library of clang" ;;
        g++) echo "a C++ compiler" ;;
        libasound2-dev) echo "the headers of ALSA (alsa.pc)" ;;
        libudev-dev) echo "the headers of udev (libudev.pc)" ;;
        libwayland-dev) echo "the headers of Wayland (wayland-client.pc)" ;;
        libxkbcommon-dev) echo "the headers of xkbcommon (xkbcommon.pc)" ;;
        libxkbcommon-x11-0) echo "the library libxkbcommon-x11.so.0" ;;
        libx11-dev) echo "the headers of X11 (x11.pc)" ;;
        libvulkan1) echo "the Vulkan loader (libvulkan.so.1)" ;;
        mesa-vulkan-drivers) echo "a Vulkan driver, such as Mesa's (lavapipe needs no GPU)" ;;
        postgresql) echo "PostgreSQL's server programs (initdb, pg_ctl)" ;;
        mosquitto) echo "the broker mosquitto" ;;
        mosquitto-clients) echo "mosquitto_pub and mosquitto_sub" ;;
        python3-venv) echo "python3 with venv and ensurepip" ;;
        *) echo "$1" ;;
    esac
}

any_file() {
    local path
    for path in "$@"; do [ ! -e "$path" ] || return 0; done
    return 1
}

has_module() {
    local program
    program=$(command -v pkg-config || command -v pkgconf) && "$program" --exists "$1" 2>/dev/null
}

has_library() {
    any_file /usr/lib*/"$1" /usr/lib*/*/"$1" /lib*/"$1" /usr/local/lib*/"$1" || ldconfig -p 2>/dev/null | grep -qF "$1"
}

# Where initdb and pg_ctl are: Debian keeps them off the path.
postgres_folder() {
    local folder
    folder=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || true
    [ -n "$folder" ] || folder=$(dirname "$(command -v initdb || echo .)")
    [ ! -x "$folder/initdb" ] || echo "$folder"
}
