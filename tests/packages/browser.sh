# What the checks in a real browser have in common: the browser, what drives it, and the program. To be sourced.
#
# DIR is the folder of the check; TIDEGATE, if it is set, another program than that of `make test`. Exit code 77: it cannot be run here.

PLAYWRIGHT=1.65.1
AXE=4.14.1
NPM=$WORK/playwright-core-$PLAYWRIGHT-axe-$AXE
HERE=$PWD/tests/packages

skip() {
    echo "skipped: $*" >&2
    exit 77
}
fail() {
    echo "$*" >&2
    tail -n 20 "$DIR/daemon.log" >&2
    exit 1
}
port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# The daemons have not ended, and said nothing that needs a look.
is_well() {
    for pid in $pids; do kill -0 "$pid" || fail "a daemon has ended"; done
    ! grep -q panicked "$DIR/daemon.log" || fail "a daemon panicked"
    ! grep -q 'please report this' "$DIR/daemon.log" || fail "the log asks for a report"
}

# Debian keeps servers where only root looks.
PATH=$PATH:/usr/sbin
for program in npm node nginx jq python3; do
    command -v "$program" >/dev/null || skip "$program is missing"
done
CHROMIUM=$(command -v chromium || command -v chromium-browser) || skip "chromium is missing"
# Two checks may come here at the same time.
exec 9>"$WORK/browser.lock"
flock 9
if [ ! -f "$NPM/whole" ]; then
    rm -rf "$NPM"
    mkdir -p "$NPM"
    npm install --prefix "$NPM" --silent --no-audit --no-fund --ignore-scripts \
        "playwright-core@$PLAYWRIGHT" "axe-core@$AXE" || skip "playwright-core cannot be installed"
    touch "$NPM/whole"
fi
# As `make test` builds it, so that nothing is compiled again.
cargo test --locked --features failpoints --test it --no-run
TIDEGATE=${TIDEGATE:-$CARGO_TARGET_DIR/debug/tidegate}
exec 9>&-
