#!/bin/sh
# Clients are generated from the OpenAPI document, one in Python and one in TypeScript. They compile, and take every JSON answer
# that the scenarios see: what the Python client reads it writes again as it was, and TypeScript's compiler finds every answer to
# be of the type of its operation.
#
# TIDEGATE_SEEN=folder takes answers that a run of the scenarios has kept there (with the same variable set); otherwise those
# scenarios run here that see an answer of every operation.
set -eu

PYTHON_GENERATOR=0.29.1
TYPESCRIPT_GENERATOR=7.13.0
TYPESCRIPT=5.9.3
VENV=$WORK/openapi-python-client-$PYTHON_GENERATOR
NPM=$WORK/openapi-typescript-$TYPESCRIPT_GENERATOR
DIR=$WORK/clients
HERE=$PWD/tests/packages
DOCUMENT=$PWD/docs/openapi.json
SCENARIOS="api::access api::events api::hostile api::http api::input api::routes topics::fan_out schedules:: pull:: operations:: outcomes::receipts outcomes::receipt_words outcomes::probe outcomes::timeouts store::audit intake:: collapse:: shared::views keys::run_time_asked limits::overrides delivery::explain::a_ delivery::forecast::a"

python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "skipped: python3 with venv is missing" >&2
    exit 77
}
command -v npm >/dev/null || {
    echo "skipped: npm is missing" >&2
    exit 77
}
if [ ! -f "$VENV/whole" ]; then
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        "openapi-python-client==$PYTHON_GENERATOR" || {
        echo "skipped: the generator of the Python client cannot be installed" >&2
        exit 77
    }
    touch "$VENV/whole"
fi
if [ ! -f "$NPM/whole" ]; then
    rm -rf "$NPM"
    mkdir -p "$NPM"
    npm install --prefix "$NPM" --silent --no-audit --no-fund \
        "openapi-typescript@$TYPESCRIPT_GENERATOR" "typescript@$TYPESCRIPT" || {
        echo "skipped: the generator of the TypeScript client cannot be installed" >&2
        exit 77
    }
    touch "$NPM/whole"
fi
rm -rf "$DIR"
mkdir -p "$DIR/python"

# Whatever the generator cannot take it says, and leaves out; lines of JSON are no JSON.
(cd "$DIR/python" && PATH="$VENV/bin:$PATH" openapi-python-client generate --path "$DOCUMENT" \
    --output-path tidegate_client --meta none) >"$DIR/python.log" 2>&1 || {
    cat "$DIR/python.log" >&2
    exit 1
}
if grep -E '^(ERROR|Unable|Cannot|Attempted)' "$DIR/python.log" | grep -v 'Unsupported content_type application/x-ndjson'; then
    echo "the Python client is not whole: $DIR/python.log" >&2
    exit 1
fi
"$VENV/bin/python" -m compileall -q "$DIR/python/tidegate_client"
"$NPM/node_modules/.bin/openapi-typescript" "$DOCUMENT" -o "$DIR/api.ts" >"$DIR/typescript.log" 2>&1 || {
    cat "$DIR/typescript.log" >&2
    exit 1
}

SEEN=${TIDEGATE_SEEN:-$DIR/seen}
if [ -z "${TIDEGATE_SEEN:-}" ]; then
    # As `make test` builds it, so that nothing is compiled again. It is `make test` that judges them: an answer that is not
    # seen since one of them failed is missed below.
    # shellcheck disable=SC2086
    TIDEGATE_SEEN=$SEEN cargo test --locked --features failpoints --test it -- $SCENARIOS --test-threads=2 \
        >"$DIR/scenarios.log" 2>&1 || grep -E '^error|FAILED$' "$DIR/scenarios.log" >&2
fi
PYTHONPATH=$DIR/python "$VENV/bin/python" "$HERE/clients.py" "$DOCUMENT" "$SEEN" "$DIR/answers.ts"
"$NPM/node_modules/.bin/tsc" --noEmit --strict --skipLibCheck --target es2022 --module nodenext \
    --moduleResolution nodenext "$DIR/api.ts" "$DIR/answers.ts"
