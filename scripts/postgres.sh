# A PostgreSQL of our own on a free port. Sourced; gives start_postgres DIR, stop_postgres and postgres_url.

postgres_dir='' postgres_url=''

# PostgreSQL refuses to run as root; as root it runs as the user the Debian package made.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
    postgres_dir=$1
    local bin port
    bin=$(postgres_folder)
    [ -n "$bin" ] || fail "PostgreSQL is not installed"
    port=$(free_port)
    mkdir -p "$postgres_dir"
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$postgres_dir"
        chmod 755 "$(dirname "$postgres_dir")"
    fi
    step "PostgreSQL on port $port" as_postgres sh -c "
        '$bin/initdb' -D '$postgres_dir/data' -U park --auth=trust --no-sync >/dev/null &&
        '$bin/pg_ctl' -D '$postgres_dir/data' -l '$postgres_dir/log' -w \
            -o '-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$postgres_dir' start >/dev/null &&
        '$bin/createdb' -h 127.0.0.1 -p $port -U park park"
    postgres_url="postgres://park@127.0.0.1:$port/park"
}

stop_postgres() {
    [ -n "$postgres_dir" ] || return 0
    local bin
    bin=$(postgres_folder)
    as_postgres "$bin/pg_ctl" -D "$postgres_dir/data" -m immediate stop >/dev/null 2>&1 || true
    postgres_dir=''
}
