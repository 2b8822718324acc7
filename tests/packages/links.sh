#!/bin/sh
# The way to a downstream with parts that nobody here wrote: an authority made by openssl, nginx that asks for client
# certificates, and that closes connections after a few requests of either version of HTTP, tinyproxy that asks for a password, and an authorization server by authlib. Everything that is set up
# right works, everything that is set up wrong is told in words, a change of all certificates loses no call, and no secret
# is in the log.
set -eu

AUTHLIB=1.9.6
FLASK=3.1.3
VENV=$WORK/authlib-$AUTHLIB
DIR=$WORK/links
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
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 with venv is missing"
# Debian keeps servers where only root looks.
PATH=$PATH:/usr/sbin
for program in nginx tinyproxy openssl jq; do
    command -v "$program" >/dev/null || skip "$program is missing"
done
if [ ! -f "$VENV/whole" ]; then
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "authlib==$AUTHLIB" "flask==$FLASK"
    touch "$VENV/whole"
fi
# As `make test` builds it, so that nothing is compiled again.
cargo test --locked --features failpoints --test it --no-run

port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
API=$(port) SERVER=$(port) HTTPS=$(port) PROXY=$(port) BRIEF=$(port) CLEAR=$(port)
URL=http://127.0.0.1:$API
rm -rf "$DIR"
mkdir -p "$DIR/data" "$DIR/nginx"
# Where it does not start as root, it must be able to read what is here.
umask 022

# ── an authority, and what it issues ─────────────────────────────────────────────────────────────
# issue YEAR NAME SUBJECT_ALT_NAME USE: a certificate and its key, by the authority of this year.
issue() {
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=CA:FALSE\n' "$3" "$4" >"$DIR/extensions"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
        -keyout "$DIR/$1-$2.key" -out "$DIR/request" 2>/dev/null
    openssl x509 -req -in "$DIR/request" -CA "$DIR/$1-ca.pem" -CAkey "$DIR/$1-ca.key" -CAcreateserial -days 30 \
        -extfile "$DIR/extensions" -out "$DIR/$1-$2.pem" 2>/dev/null
}
for year in old new; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=authority $year" \
        -keyout "$DIR/$year-ca.key" -out "$DIR/$year-ca.pem" 2>/dev/null
    issue "$year" server IP:127.0.0.1,DNS:localhost serverAuth
    issue "$year" me DNS:tidegate.example clientAuth
done
# take YEAR: its files are those that nginx and Tidegate read.
take() {
    for name in ca server me; do
        cp "$DIR/$1-$name.pem" "$DIR/$name.pem"
        cp "$DIR/$1-$name.key" "$DIR/$name.key"
    done
}
take old

# ── the servers ──────────────────────────────────────────────────────────────────────────────────
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
    server {
        listen 127.0.0.1:$HTTPS ssl;
        ssl_certificate $DIR/server.pem;
        ssl_certificate_key $DIR/server.key;
        ssl_client_certificate $DIR/ca.pem;
        ssl_verify_client on;
        location / {
            proxy_pass http://127.0.0.1:$SERVER;
            proxy_set_header X-Client \$ssl_client_s_dn;
        }
    }
    # Closes connections whenever it can.
    log_format brief '\$server_protocol \$status \$http_webhook_id';
    server {
        listen 127.0.0.1:$BRIEF ssl http2;
        listen 127.0.0.1:$CLEAR http2;
        access_log $DIR/nginx/brief.log brief;
        ssl_certificate $DIR/server.pem;
        ssl_certificate_key $DIR/server.key;
        keepalive_requests 5;
        keepalive_timeout 1s;
        client_max_body_size 10k;
        location / {
            return 200 "ok";
        }
    }
}
CONF
cat >"$DIR/tinyproxy.conf" <<CONF
Port $PROXY
Listen 127.0.0.1
Timeout 60
LogFile "$DIR/tinyproxy.log"
BasicAuth us canaryproxy
ConnectPort $HTTPS
CONF
pids=
at_end() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    [ ! -f "$DIR/nginx/pid" ] || kill "$(cat "$DIR/nginx/pid")" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap at_end EXIT
"$VENV/bin/python" "$HERE/links_server.py" "$SERVER" canaryclient >"$DIR/server.log" 2>&1 &
pids="$pids $!"
tinyproxy -d -c "$DIR/tinyproxy.conf" >/dev/null 2>&1 &
pids="$pids $!"
nginx -c "$DIR/nginx.conf"

# ── the daemon ───────────────────────────────────────────────────────────────────────────────────
right_tls='tls = { ca = "ca.pem", certificate = "me.pem", key = "me.key" }'
right_proxy="proxy = \"http://us:canaryproxy@127.0.0.1:$PROXY\""
oauth2() {
    echo "oauth2 = { token_url = \"https://127.0.0.1:$HTTPS/token\", client_id = \"tidegate\", client_secret = \"$1\", scope = \"orders\", send = \"$2\" }"
}
# queue NAME LINE...: a queue that calls the downstream.
queue() {
    echo "[queues.$1]"
    # So that calls are made all the while.
    echo 'rate = "60/s"'
    echo 'retry = { initial = "1s", max = "1s" }'
    echo "[queues.$1.downstream]"
    echo "url = \"https://127.0.0.1:$HTTPS/orders\""
    echo 'signing_secrets = ["canarynew", "canaryold"]'
    shift
    printf '%s\n' "$@"
}
{
    printf '[server]\nlisten = "127.0.0.1:%s"\n[redis]\ndata_dir = "%s"\n' "$API" "$DIR/data"
    queue right "$right_tls" "$right_proxy" "$(oauth2 canaryclient basic)"
    queue straight "$right_tls" "$(oauth2 canaryclient body)"
    queue untrusted "$right_proxy"
    queue nobody 'tls = { ca = "ca.pem" }' "$right_proxy" \
        'answers = [{ status = [400], body = "SSL certificate", as = "retry" }]'
    queue stranger "$right_tls" "proxy = \"http://us:canarywrong@127.0.0.1:$PROXY\""
    queue nameless "$right_tls" "proxy = \"http://127.0.0.1:$PROXY\""
    queue forgetful "$right_tls" "$right_proxy" "$(oauth2 canaryfalse basic)"
} >"$DIR/tidegate.toml"
# brief NAME URL VERSION: a queue in which nothing may be unknown, to the server that closes connections whenever it can.
brief() {
    echo "[queues.$1]"
    echo 'rate = "150/s"'
    echo 'concurrency = 6'
    echo 'on_uncertain = "park"'
    echo 'retry = { initial = "1s", max = "1s" }'
    echo "[queues.$1.downstream]"
    echo "url = \"$2\""
    echo "http = \"$3\""
    echo 'tls = { ca = "ca.pem" }'
}
{
    brief newer "https://127.0.0.1:$BRIEF/" 2
    brief chosen "https://127.0.0.1:$BRIEF/" auto
    brief older "https://127.0.0.1:$BRIEF/" 1.1
    brief clear "http://127.0.0.1:$CLEAR/" 2
} >>"$DIR/tidegate.toml"
TIDEGATE=$CARGO_TARGET_DIR/debug/tidegate
"$TIDEGATE" check "$DIR/tidegate.toml" >"$DIR/check"
TIDEGATE_LOG=trace TIDEGATE_LOG_FORMAT=human HTTPS_PROXY=http://127.0.0.1:1 \
    "$TIDEGATE" serve --config "$DIR/tidegate.toml" 2>"$DIR/daemon.log" >/dev/null &
daemon=$!
pids="$pids $daemon"
# until_true WHAT COMMAND...: waits for a condition.
until_true() {
    what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -le 300 ] || fail "waited in vain until $what"
        sleep 0.1
    done
}
until_true "the daemon is ready" curl -fsS "$URL/readyz"
until_true "the authorization server answers" curl -fsS "http://127.0.0.1:$SERVER/seen"
export TIDEGATE_URL=$URL

# count QUEUE STATE
count() {
    curl -fsS "$URL/v1/queues/$1" | jq ".counts.$2"
}
has() {
    [ "$(count "$1" "$2")" -eq "$3" ]
}
# send QUEUE FROM TO
send() {
    seq "$2" "$3" | sed 's/.*/{"payload": &}/' >"$DIR/rows"
    "$TIDEGATE" send-batch "$1" "$DIR/rows" >/dev/null 2>&1 || fail "messages to $1 are not taken"
}
seen() {
    curl -fsS "http://127.0.0.1:$SERVER/seen" | jq "$1"
}

# ── what is right works ──────────────────────────────────────────────────────────────────────────
send right 1 50
until_true "50 messages are delivered through everything" has right delivered 50
[ "$(seen '.granted | length')" -eq 1 ] || fail "one token was to be granted, found $(seen '.granted | length')"
[ "$(seen '[.orders[] | select(.[1] | contains("CN=me"))] | length')" -eq 50 ] || fail "nginx has not seen the client"
[ "$(grep -c 'CONNECT' "$DIR/tinyproxy.log")" -ge 1 ] || fail "the proxy was not asked"
send straight 1 5
until_true "5 messages are delivered without a proxy" has straight delivered 5
curl -fsS -X POST "http://127.0.0.1:$SERVER/revoke" >/dev/null
send right 51 60
until_true "revoked tokens are replaced" has right delivered 60
echo "links: delivered through mutual TLS, a proxy and with tokens"

# ── a server that closes connections all the while loses nothing ─────────────────────────────────
for queue in newer chosen older clear; do send "$queue" 1 300; done
for queue in newer chosen older clear; do
    until_true "300 messages of $queue are delivered" has "$queue" delivered 300
done
# Connections that have been closed meanwhile are noticed.
sleep 2
for queue in newer chosen older clear; do send "$queue" 301 310; done
for queue in newer chosen older clear; do
    until_true "10 further messages of $queue are delivered" has "$queue" delivered 310
    [ "$(grep -c " 200 ${queue}_" "$DIR/nginx/brief.log")" -eq 310 ] || fail "messages of $queue came more than once"
done
spoken() {
    grep " 200 $1_" "$DIR/nginx/brief.log" | cut -d ' ' -f 1 | sort -u
}
for queue in newer chosen clear; do
    [ "$(spoken "$queue")" = HTTP/2.0 ] || fail "$queue spoke $(spoken "$queue")"
done
[ "$(spoken older)" = HTTP/1.1 ] || fail "older spoke $(spoken older)"
python3 -c 'import json; print(json.dumps({"payload": "x" * 200_000}))' >"$DIR/large"
for queue in newer older clear; do
    "$TIDEGATE" send-batch "$queue" "$DIR/large" >/dev/null 2>&1 || fail "a large message to $queue is not taken"
    until_true "a message that is too large for nginx is dead in $queue" has "$queue" dead 1
done
echo "links: 310 messages of each version of HTTP came once, over connections that end after five requests"

# ── what is wrong is told in words ───────────────────────────────────────────────────────────────
# told QUEUE WORDS: the queue is failing, and says so.
told() {
    curl -fsS "$URL/v1/queues/$1" | jq -e --arg words "$2" '.failing.last_error | contains($words)'
}
for queue in untrusted stranger nameless forgetful; do send "$queue" 1 3; done
send nobody 1 1
until_true "the authority is missed" told untrusted 'name the file with its certificate in downstream.tls.ca'
until_true "the password is missed" told stranger 'asks for other credentials (401)'
until_true "user and password are missed" told nameless 'asks for other credentials (407)'
until_true "the client is refused" told forgetful 'invalid_client'
rejected() {
    "$TIDEGATE" list nobody --state scheduled --output json | grep 'No required SSL certificate was sent'
}
until_true "the certificate is missed" rejected
[ "$(seen '.orders | length')" -eq 65 ] || fail "the downstream has seen more than it should"
echo "links: an unknown authority, a missing certificate, a wrong password and a wrong client are told in words"

# ── all certificates change ──────────────────────────────────────────────────────────────────────
send right 61 200 &
sender=$!
take new
nginx -c "$DIR/nginx.conf" -s reload
kill -HUP "$daemon"
wait "$sender"
until_true "what was sent while the certificates changed is delivered" has right delivered 200
[ "$(seen '[.orders[][0] | select(startswith("right_"))] | unique | length')" -eq 200 ] || fail "a call was lost"
grep -q 'configuration reloaded' "$DIR/daemon.log" || fail "the configuration was not reloaded"
# A key that does not belong to its certificate: the old configuration stays in force.
cp "$DIR/old-me.key" "$DIR/me.key"
kill -HUP "$daemon"
until_true "a bad key is refused" grep -q 'does not belong to the certificate in me.pem' "$DIR/daemon.log"
! "$TIDEGATE" check "$DIR/tidegate.toml" >"$DIR/check.bad" 2>&1 || fail "check takes a key of another certificate"
grep -q 'queues.right.downstream.tls.key: ' "$DIR/check.bad" || fail "check does not name the key"
send right 201 205
until_true "the old configuration still works" has right delivered 205
made=$(seen '[.orders[][0] | select(startswith("right_"))] | length')
echo "links: no message was lost while every certificate changed; 205 messages took $made calls"

# ── no secret is to be seen ──────────────────────────────────────────────────────────────────────
for path in metrics v1/doctor v1/queues v1/queues/right v1/queues/forgetful v1/queues/stranger; do
    curl -fsS "$URL/$path" || true
done >"$DIR/shown"
"$TIDEGATE" try right -d 1 >>"$DIR/shown" 2>&1 || true
grep -q 'a new token is in force' "$DIR/daemon.log" || fail "the log says too little to be searched"
key=$(sed -n 2p "$DIR/new-me.key")
tokens=$(seen ".granted[]" | tr -d "\"" | tr "\n" " ")
for secret in canary "$key" $tokens "$(printf 'us:canaryproxy' | base64)" "$(printf 'tidegate:canaryclient' | base64)"; do
    for file in daemon.log shown check check.bad; do
        ! grep -qF -e "$secret" "$DIR/$file" || fail "$file shows a secret: $secret"
    done
done
kill -0 "$daemon" || fail "the daemon has ended"
! grep -q panicked "$DIR/daemon.log" || fail "the daemon panicked"
echo "links: no secret is in the log at trace, in the API, in check or in try"
