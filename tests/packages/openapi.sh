#!/bin/sh
# The daemon answers as its OpenAPI document says: schemathesis makes requests from the document, valid ones
# and invalid ones, sends them to a real daemon on a real Redis, and compares the answers with the document.
#
# EXAMPLES=n makes more requests for each operation, SEED=n others.
set -eu

SCHEMATHESIS=4.32.5
VENV=$WORK/schemathesis-$SCHEMATHESIS
DIR=$WORK/openapi
HERE=$PWD/tests/packages
# It takes about a minute; one that takes longer than this hangs.
TIME_MAX_S=180

python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "skipped: python3 with venv is missing" >&2
    exit 77
}
if [ ! -f "$VENV/whole" ]; then
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS"
    touch "$VENV/whole"
fi

# As `make test` builds it, so that nothing is compiled again.
cargo test --locked --features failpoints --test it --no-run
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
URL=http://127.0.0.1:$PORT
rm -rf "$DIR"
mkdir -p "$DIR/data"
cat >"$DIR/tidegate.toml" <<TOML
[server]
listen = "${URL#http://}"

[redis]
data_dir = "$DIR/data"

[queues.sent.downstream]
type = "null"

[queues.pulled.downstream]
type = "pull"

[topics.told]
queues = ["sent", "pulled"]
TOML

TIDEGATE_LOG_FORMAT=human "$CARGO_TARGET_DIR/debug/tidegate" serve --config "$DIR/tidegate.toml" 2>"$DIR/daemon.log" >/dev/null &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true' EXIT
tries=0
until curl -fsS -o /dev/null "$URL/readyz" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$daemon" 2>/dev/null; then
        tail -n 20 "$DIR/daemon.log" >&2
        exit 1
    fi
    sleep 0.1
done

cd "$DIR"
PYTHONPATH=$HERE SCHEMATHESIS_HOOKS=openapi_hooks timeout "$TIME_MAX_S" \
    "$VENV/bin/schemathesis" --config-file "$HERE/schemathesis.toml" run "$URL/openapi.json" \
    --url "$URL" --mode all --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-20}" \
    --request-timeout 20 --generation-database none --warnings off --no-color \
    --no-shrink --seed "${SEED:-1}" >"$DIR/schemathesis.log" 2>&1 || {
    code=$?
    cat "$DIR/schemathesis.log"
    [ "$code" -ne 124 ] || echo "it was stopped after $TIME_MAX_S s" >&2
    exit 1
}
# What it did, as its last lines tell.
sed -n '/^Test cases:/,$p' "$DIR/schemathesis.log"
if grep -q 'panicked' "$DIR/daemon.log"; then
    grep 'panicked' "$DIR/daemon.log" >&2
    exit 1
fi
kill -0 "$daemon"
