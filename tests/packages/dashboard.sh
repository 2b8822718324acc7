#!/bin/sh
# The dashboard in a real browser: every page, with and without script, every step by mouse and by keyboard, behind nginx
# under a path of its own, with tokens of some scopes and queues; texts that would be code in every field that somebody
# else can fill; what axe says of every page; and how large pages are and how long they take. It also makes the pictures of
# the manual.
#
# ONLY=WORDS runs those checks alone whose name has these words.
# WRITE_PICTURES=1 puts these pictures into docs/images; otherwise they stay below the folder of the check.
set -eu

DIR=$WORK/dashboard
. tests/packages/browser.sh

API=$(port) OPEN=$(port) SHOW=$(port) DOWNSTREAM=$(port) PROXY=$(port)
rm -rf "$DIR"
mkdir -p "$DIR/data" "$DIR/open" "$DIR/show" "$DIR/nginx" "$DIR/pictures"
umask 022

# token NAME SCOPES [QUEUES]: the token, and its line for the configuration.
tokens=
token() {
    text=tg_$1_$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
    hash=$(printf '%s' "$text" | sha256sum | cut -d ' ' -f 1)
    printf '%s' "$text" >"$DIR/token-$1"
    tokens="$tokens{ name = \"$1\", sha256 = \"$hash\", scopes = [$2]${3:+, queues = [$3]} },"
}
token ops '"read", "operate", "admin", "send"'
token viewer '"read"'
token part '"read", "operate"' '"sms"'

queues() {
    sed -e "s/DOWNSTREAM/127.0.0.1:$DOWNSTREAM/" "$HERE/dashboard/queues.toml"
}
{
    printf '[server]\nlisten = "127.0.0.1:%s"\nbase_path = "/tidegate"\ntokens = [%s]\n' "$API" "$tokens"
    printf '[redis]\ndata_dir = "%s"\n' "$DIR/data"
    queues
} >"$DIR/tidegate.toml"
{
    printf '[server]\nlisten = "127.0.0.1:%s"\norigins = ["http://localhost:%s"]\n' "$OPEN" "$DOWNSTREAM"
    printf '[redis]\ndata_dir = "%s"\n' "$DIR/open"
    queues
} >"$DIR/open.toml"
{
    printf '[server]\nlisten = "127.0.0.1:%s"\n[redis]\ndata_dir = "%s"\n' "$SHOW" "$DIR/show"
    # Its window opens in an hour or two.
    opens=$(TZ=Asia/Shanghai date -d '2 hours' +%H:00)
    sed -e "s/DOWNSTREAM/127.0.0.1:$DOWNSTREAM/" -e "s/OPENS/$opens/" "$HERE/dashboard/show.toml"
} >"$DIR/show.toml"

# One proxy leaves the path where it is, and one removes it.
cat >"$DIR/nginx.conf" <<CONF
worker_processes 1;
pid $DIR/nginx/pid;
error_log $DIR/nginx/error.log;
events { worker_connections 256; }
http {
    access_log $DIR/nginx/access.log;
    client_body_temp_path $DIR/nginx/body;
    proxy_temp_path $DIR/nginx/proxy;
    fastcgi_temp_path $DIR/nginx/fastcgi;
    uwsgi_temp_path $DIR/nginx/uwsgi;
    scgi_temp_path $DIR/nginx/scgi;
    proxy_set_header Host \$http_host;
    proxy_buffering off;
    server {
        listen 127.0.0.1:$PROXY;
        server_name localhost;
        location /tidegate/ { proxy_pass http://127.0.0.1:$API; }
    }
    server {
        listen 127.0.0.1:$PROXY;
        server_name 127.0.0.1;
        location /tidegate/ { proxy_pass http://127.0.0.1:$API/; }
    }
}
CONF
pids=
at_end() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    [ ! -f "$DIR/nginx/pid" ] || kill "$(cat "$DIR/nginx/pid")" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap at_end EXIT
nginx -c "$DIR/nginx.conf"
for name in tidegate open show; do
    TIDEGATE_LOG_FORMAT=human "$TIDEGATE" serve --config "$DIR/$name.toml" 2>>"$DIR/daemon.log" >/dev/null &
    pids="$pids $!"
done

cat >"$DIR/places.json" <<JSON
{"api": "http://127.0.0.1:$API/tidegate", "open": "http://127.0.0.1:$OPEN", "show": "http://127.0.0.1:$SHOW", "downstream": $DOWNSTREAM, "proxy": $PROXY,
 "chromium": "$CHROMIUM", "folder": "$DIR", "modules": "$NPM/node_modules", "tidegate": "$TIDEGATE"}
JSON
node "$HERE/dashboard/main.mjs" "$DIR/places.json" ${ONLY:+"$ONLY"} || fail "the dashboard does not work in a browser"
is_well
for file in "$DIR"/token-*; do
    ! grep -qF "$(cat "$file")" "$DIR/daemon.log" || fail "the log shows a token"
done
if [ -n "${WRITE_PICTURES:-}" ]; then
    mkdir -p docs/images
    cp "$DIR"/pictures/*.png docs/images/
fi
