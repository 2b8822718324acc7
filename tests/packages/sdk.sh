#!/bin/sh
# The clients in clients/ against a real daemon on a real Redis: both packages are built, checked (mypy --strict, ruff, tsc with
# strict) and tested; the tests also follow each README in an empty folder, and run its blocks and examples.
#
# TIDEGATE_PROGRAM=file takes that daemon; otherwise it is the one that `make test` builds. ONLY=python or ONLY=typescript
# tries one of them.
set -eu

HTTPX=0.28.1
DIR=$WORK/sdk
# Everything takes about two minutes; what takes longer than this hangs.
TIME_MAX_S=300

skip() {
    echo "skipped: $*" >&2
    exit 77
}
python3 -c 'import ensurepip, venv' 2>/dev/null || skip "python3 with venv is missing"
command -v npm >/dev/null || skip "npm is missing"

if [ -z "${TIDEGATE_PROGRAM:-}" ]; then
    # As `make test` builds it, so that nothing is compiled again.
    cargo test --locked --features failpoints --test it --no-run
    TIDEGATE_PROGRAM=$CARGO_TARGET_DIR/debug/tidegate
fi
export TIDEGATE_PROGRAM
unset TIDEGATE_URL TIDEGATE_TOKEN
# What is built lies below target/, so that no work tree is changed.
rm -rf "$DIR"
mkdir -p "$DIR"
cp -r clients docs "$DIR/"
cd "$DIR/clients"
find . -name node_modules -prune -o -name dist -prune -o -name build -prune | xargs rm -rf

# ── Python ───────────────────────────────────────────────────────────────────────────────────────
try_python() {
    # Whatever the versions of the tools are made of decides whether they are installed anew.
    venv=$WORK/sdk-python-$(cksum python/pyproject.toml | cut -d ' ' -f 1)
    if [ ! -f "$venv/whole" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "httpx==$HTTPX" './python[test]' build
        touch "$venv/whole"
    fi
    "$venv/bin/python" -m build --outdir "$DIR/python-dist" python >"$DIR/build.log" 2>&1 || {
        tail -n 20 "$DIR/build.log" >&2
        return 1
    }
    # The tests see what is shipped, and not the folder.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
        "$DIR"/python-dist/*.whl
    (
        cd python
        "$venv/bin/ruff" check --quiet .
        "$venv/bin/ruff" format --quiet --check .
        "$venv/bin/mypy" --no-error-summary
        timeout "$TIME_MAX_S" "$venv/bin/pytest" -q -p no:cacheprovider
    )
}

# ── TypeScript ───────────────────────────────────────────────────────────────────────────────────
try_typescript() {
    (
        cd typescript
        npm install --silent --no-audit --no-fund
        timeout "$TIME_MAX_S" npm test --silent >"$DIR/typescript.log" 2>&1 || {
            grep -B1 -A25 '^ *not ok' "$DIR/typescript.log" >&2 || tail -n 60 "$DIR/typescript.log" >&2
            return 1
        }
        grep -E '^(# |ℹ )(tests|pass|fail) ' "$DIR/typescript.log"
        npm pack --silent --pack-destination "$DIR" --ignore-scripts >"$DIR/packed"
        # Who installs the package gets what is built, with its types, and nothing of the tests.
        tar -tzf "$DIR/$(tail -n 1 "$DIR/packed")" | grep -q '^package/dist/index.d.ts$'
        ! tar -tzf "$DIR/$(tail -n 1 "$DIR/packed")" | grep -E '^package/(test|build|src)/'
    )
}

case ${ONLY:-} in
    python) try_python ;;
    typescript) try_typescript ;;
    *)
        try_python
        try_typescript
        ;;
esac
