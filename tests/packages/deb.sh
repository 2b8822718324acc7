#!/bin/sh
# The Debian package in a Debian of its own, under its own systemd: installed, started, upgraded with
# messages waiting, removed, installed again, purged. No message is lost on the way.
set -eu
. tests/packages/base.sh
ROOT=$WORK/deb

fail() {
    echo "deb: $*" >&2
    exit 1
}

# The package, and the same under an older version, which is upgraded to it.
make --no-print-directory deb
# Out of the folder that cargo-deb clears when it makes the next one.
cp "$CARGO_TARGET_DIR"/debian/tidegate_*.deb "$WORK/new.deb"
new=$WORK/new.deb
cargo deb --quiet --locked --no-build --profile "$PROFILE" --deb-version 0.0.9 --output "$WORK/old.deb"
dpkg-deb --info "$new" | grep -E '^ (Version|Depends|Installed-Size)'

# Links between the installed pages lead somewhere; only those for developers may be left out.
rm -rf "$WORK/unpacked"
dpkg-deb --extract "$new" "$WORK/unpacked"
python3 - "$WORK/unpacked/usr/share/doc/tidegate" <<'CHECK'
import pathlib, re, sys

root, dead = pathlib.Path(sys.argv[1]), []
pages = list(root.rglob("*.md"))
assert len(pages) > 20, pages
for page in pages:
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        target = (page.parent / link).resolve()
        for_developers = target.relative_to(root.resolve()).parts[:1] if root.resolve() in target.parents else ()
        if "://" in link or for_developers in [("src",), ("tests",), ("benches",), ("CONTRIBUTING.md",)]:
            continue
        if not target.exists():
            dead.append(f"{page.relative_to(root)}: {link}")
assert not dead, dead
CHECK

fresh "$ROOT"
echo "deb: installing systemd and what the package depends on"
inside "$ROOT" sh -euc '
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends systemd systemd-sysv dbus redis-server man-db >/dev/null
    systemctl disable --quiet redis-server
'
cp "$WORK/old.deb" "$ROOT/root/old.deb"
cp "$new" "$ROOT/root/new.deb"
cp tests/packages/deb_inside.sh "$ROOT/root/check.sh"
inside "$ROOT" apt-get install --simulate -qq /root/new.deb >/dev/null ||
    fail "apt cannot satisfy what the package depends on"

# systemd as the first process of namespaces of its own: processes, mounts, network, control groups.
group=
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [ -n "$unified" ] && mkdir -p "$unified/tidegate-deb" 2>/dev/null; then
    group=$unified/tidegate-deb
fi
cat >"$WORK/boot.sh" <<'BOOT'
set -eu
root=$1
ip link set lo up
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
exec env -i container=tidegate PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$root" /lib/systemd/systemd --system --log-target=console --show-status=0
BOOT
(
    [ -z "$group" ] || echo 0 >"$group/cgroup.procs"
    exec unshare --cgroup --fork --pid --mount --uts --ipc --net --kill-child sh "$WORK/boot.sh" "$ROOT"
) >"$WORK/boot.log" 2>&1 &
guard=$!
end() {
    kill -KILL "$guard" 2>/dev/null || true
    wait "$guard" 2>/dev/null || true
    # The kernel needs a moment until the last process has left.
    for _ in 1 2 3 4 5; do
        [ -n "$group" ] && [ -d "$group" ] || break
        find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        [ ! -d "$group" ] || sleep 0.5
    done
}
trap end EXIT
init=
for _ in $(seq 1 100); do
    init=$(pgrep -P "$guard" || true)
    [ -z "$init" ] || [ "$(cat "/proc/$init/comm")" != systemd ] || break
    sleep 0.1
done
[ -n "$init" ] || fail "systemd did not start: $(cat "$WORK/boot.log")"
into() {
    (cd / && exec nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup --root \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@")
}
for _ in $(seq 1 300); do
    state=$(into systemctl is-system-running 2>/dev/null || true)
    case $state in running | degraded) break ;; esac
    sleep 0.2
done
case $state in
    running | degraded) ;;
    *) fail "systemd came no further than \"$state\": $(tail -n 5 "$WORK/boot.log")" ;;
esac
into sh /root/check.sh
