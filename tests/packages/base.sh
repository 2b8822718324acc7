# A small Debian in a folder, for the checks of the package and of the image. To be sourced.
#
# debootstrap makes it once; each check unpacks a copy of its own. Exit code 77: it cannot be made here.

BASE=$WORK/base.tar
SUITE=bookworm

skip() {
    echo "skipped: $*" >&2
    exit 77
}

[ "$(id -u)" -eq 0 ] || skip "a root of another system needs root"
command -v debootstrap >/dev/null || skip "debootstrap is missing"

# Inside, apt takes the options of this machine that say how the archive is reached, and its hosts.
make_base() {
    rm -rf "$WORK/base"
    debootstrap --variant=minbase "$SUITE" "$WORK/base" >"$WORK/debootstrap.log" 2>&1 || {
        tail -n 5 "$WORK/debootstrap.log" >&2
        exit 1
    }
    apt-config dump --format '%f "%v";%n' Acquire | grep -E '^Acquire::(Check|http|https)' \
        >"$WORK/base/etc/apt/apt.conf.d/99here" || true
    tar -C "$WORK/base" -cf "$BASE.new" .
    rm -rf "$WORK/base"
    mv "$BASE.new" "$BASE"
}

# fresh FOLDER: an untouched system there, ready for `inside`. What is mounted is mounted in this
# process alone (see `apart`), so that nothing stays behind.
fresh() {
    [ -f "$BASE" ] || make_base
    rm -rf "$1"
    mkdir -p "$1"
    tar -C "$1" -xf "$BASE"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
}

# inside FOLDER COMMAND...: runs there, with /proc and /dev of its own mounts.
inside() {
    folder=$1
    shift
    unshare --mount --pid --fork --kill-child sh -euc '
        folder=$1; shift
        mount --make-rprivate /
        mount -t proc proc "$folder/proc"
        mount --rbind /dev "$folder/dev"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
            LC_ALL=C.UTF-8 $ENVIRONMENT chroot "$folder" "$@"
    ' inside "$folder" "$@"
}
ENVIRONMENT=
export ENVIRONMENT
