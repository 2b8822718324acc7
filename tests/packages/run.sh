#!/bin/sh
# Checks everything that is shipped beside the source: the OpenAPI document and clients generated from it, our own clients, alerting rules,
# the way to a downstream with servers that nobody here wrote, the dashboard in a browser, pages of it that are left open, manifests, the crate, the list of components, the Debian package and the image. `make test-all` runs it; it needs root for
# the last two.
#
#   sh tests/packages/run.sh [CHECK]...
#
# Without a CHECK: all of them. The last line says how many passed.
set -eu
cd "$(dirname "$0")/../.."
# Absolute, as some checks work in other folders.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
WORK=$CARGO_TARGET_DIR/packages
# What is packed is the program as it compiles fastest; PROFILE=dist packs it as it is shipped, which takes a quarter of an hour more.
PROFILE=${PROFILE:-checked}
export WORK PROFILE
mkdir -p "$WORK"
export PATH="$CARGO_TARGET_DIR/tools/bin:$PATH"

passed=0 failed=0 skipped=0
# judge CHECK CODE BEGAN: counts how a check ended.
judge() {
    check=$1 code=$2 began=$3
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ] && [ "${REPEAT_FAILED:-0}" -gt 0 ]; then
        # As for scenarios (tests/run.sh): what it said at first stands above, and the second try counts.
        echo "── $check: failed, and is tried once more"
        code=0
        sh "tests/packages/$check.sh" || code=$?
    fi
    took=$(($(date +%s) - began))
    case $code in
        0) passed=$((passed + 1)) && echo "── $check: passed in $took s" ;;
        77) skipped=$((skipped + 1)) && echo "── $check: skipped" ;;
        *) failed=$((failed + 1)) && echo "── $check: FAILED after $took s" ;;
    esac
}

beside='' beside_began=''
at_end() {
    [ -z "$beside" ] || kill "$beside" 2>/dev/null || true
}
trap at_end EXIT
for check in ${*:-open_page openapi clients sdk links dashboard rules alerts manifests crate components deb image}; do
    echo "── $check"
    began=$(date +%s)
    # This one waits for ten minutes, and works little: it runs beside the others.
    if [ "$check" = open_page ] && [ -z "$beside" ]; then
        sh tests/packages/open_page.sh >"$WORK/open_page.log" 2>&1 &
        beside=$! beside_began=$began
        continue
    fi
    code=0
    sh "tests/packages/$check.sh" || code=$?
    judge "$check" "$code" "$began"
done
if [ -n "$beside" ]; then
    code=0
    wait "$beside" || code=$?
    beside=''
    cat "$WORK/open_page.log"
    judge open_page "$code" "$beside_began"
fi
echo
echo "packages: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
