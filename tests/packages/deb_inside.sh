#!/bin/sh
# Inside the system of deb.sh, as its administrator would.
set -eu
cd /root
CONFIG=/etc/tidegate/tidegate.toml
WAITING=50

step() {
    echo "deb: $*"
}

fail() {
    echo "deb: $*" >&2
    journalctl --no-pager -q -u tidegate -n 40 >&2 || true
    exit 1
}

is_started() {
    systemctl is-active --quiet tidegate || fail "the service is not active"
    [ "$(tidegate health)" = ready ] || fail "the daemon is not ready"
}

count() {
    tidegate --output json queue demo | sed -n 's/.*"'"$1"'":\([0-9]*\).*/\1/p'
}

still_waiting() {
    waits=$(count scheduled)
    [ "$waits" = "$WAITING" ] || fail "$waits messages wait, not $WAITING"
}

runs() {
    grep -qsx "$1" /proc/[0-9]*/comm
}

main_pid() {
    systemctl show tidegate --property MainPID --value
}

step "install"
dpkg -i old.deb >/dev/null || fail "dpkg -i"
is_started
systemctl is-enabled --quiet tidegate || fail "the service does not start with the machine"
[ "$(stat -c %U "/proc/$(main_pid)")" != root ] || fail "the daemon runs as root"
tidegate --version
tidegate check --config $CONFIG >/dev/null || fail "the configuration does not load"
for file in /usr/share/bash-completion/completions/tidegate \
    /usr/share/zsh/vendor-completions/_tidegate /usr/share/fish/vendor_completions.d/tidegate.fish \
    /usr/share/doc/tidegate/docs/runbook.md /usr/share/doc/tidegate/config/example.toml \
    /usr/share/man/man1/tidegate.1 /usr/share/man/man1/tidegate-send.1 \
    /usr/share/doc/tidegate/copyright; do
    [ -s $file ] || fail "$file is missing"
done

step "messages, delivered and waiting; a changed configuration"
tidegate send demo -d '{"n": 0}' --wait 20s >/dev/null || fail "a message is not delivered"
for n in $(seq 1 $WAITING); do
    tidegate send demo -d "{\"n\": $n}" --delay 1h >/dev/null
done
still_waiting
printf '\n[queues.mine.downstream]\ntype = "null"\n' >>$CONFIG
systemctl reload tidegate || fail "the service cannot be reloaded"
for _ in $(seq 1 50); do
    tidegate queue mine >/dev/null 2>&1 && break
    sleep 0.1
done
tidegate queue mine >/dev/null || fail "a reload does not take over a queue"

step "upgrade with messages waiting"
before=$(main_pid)
dpkg -i new.deb >/dev/null || fail "dpkg -i of the newer version"
is_started
[ "$(main_pid)" != "$before" ] || fail "the old program still runs"
still_waiting
tidegate queue mine >/dev/null || fail "the upgrade lost the administrator's configuration"
tidegate send demo -d '{}' --wait 20s >/dev/null || fail "a message is not delivered after the upgrade"

step "a daemon that is killed is started again by systemd"
before=$(main_pid)
kill -KILL "$before"
for _ in $(seq 1 100); do
    [ "$(main_pid)" != "$before" ] && [ "$(main_pid)" != 0 ] && tidegate health >/dev/null 2>&1 && break
    sleep 0.2
done
is_started
still_waiting

step "remove: what was written stays"
dpkg -r tidegate >/dev/null 2>&1 || fail "dpkg -r"
if [ -e /usr/bin/tidegate ]; then fail "the program is still there"; fi
if runs tidegate; then fail "the daemon still runs"; fi
if runs redis-server; then fail "its Redis still runs"; fi
[ -f $CONFIG ] || fail "the configuration is gone"

step "install again: the messages are there"
dpkg -i new.deb >/dev/null || fail "dpkg -i after dpkg -r"
is_started
still_waiting

step "purge: configuration and service go, the data stays and is named"
dpkg -P tidegate >purged 2>&1 || fail "dpkg -P"
if [ -e $CONFIG ]; then fail "the configuration is still there"; fi
if systemctl cat tidegate >/dev/null 2>&1; then fail "the service is still known"; fi
data=$(sed -n 's/.*the messages in \([^ ]*\) are kept.*/\1/p' purged)
[ -n "$data" ] || fail "nothing says what became of the data: $(cat purged)"
[ -d "$data" ] || fail "the data is gone"
left=$(find / -xdev -name '*tidegate*' -not -path '/root/*' -not -path '/proc/*' -not -path '/sys/*' \
    -not -path '/var/lib/private/tidegate*' -not -path '/var/lib/tidegate*' -not -path '/var/log/*' -not -path '/run/*' -not -path '/tmp/*')
[ -z "$left" ] || fail "left behind: $left"
step "done"
