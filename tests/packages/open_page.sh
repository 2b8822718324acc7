#!/bin/sh
# Pages of the dashboard that are left open in a real browser while messages flow: neither the browser nor the daemon may need more and
# more room for them.
#
# OPEN_MINUTES: for how long; 10 if it is not set. OPEN_LEAKS=true: the pages keep what they should not, and the check must fail.
set -eu

DIR=$WORK/open_page
. tests/packages/browser.sh

API=$(port) DOWNSTREAM=$(port)
rm -rf "$DIR"
mkdir -p "$DIR/data"
{
    printf '[server]\nlisten = "127.0.0.1:%s"\n[redis]\ndata_dir = "%s"\n' "$API" "$DIR/data"
    sed -e "s/DOWNSTREAM/127.0.0.1:$DOWNSTREAM/" "$HERE/dashboard/flow.toml"
} >"$DIR/tidegate.toml"
TIDEGATE_LOG_FORMAT=human "$TIDEGATE" serve --config "$DIR/tidegate.toml" 2>>"$DIR/daemon.log" >/dev/null &
pids=$!
trap 'kill $pids 2>/dev/null || true; wait 2>/dev/null || true' EXIT
cat >"$DIR/places.json" <<JSON
{"api": "http://127.0.0.1:$API", "downstream": $DOWNSTREAM, "chromium": "$CHROMIUM", "folder": "$DIR", "modules": "$NPM/node_modules",
 "daemon": $pids, "minutes": ${OPEN_MINUTES:-10}, "leaks": ${OPEN_LEAKS:-false}}
JSON
node "$HERE/dashboard/open_page.mjs" "$DIR/places.json" || fail "a page that is left open needs more and more room"
is_well
