#!/bin/sh
# Cargo starts every program that it has built through this file (.cargo/config.toml).
#
# A filter that matches no test is a mistake, and the test harness calls it a success: "cargo it nope" ran
# nothing and was green. Here it is an error. Everything else starts as it is.
#
# REPEAT_FAILED=n: where at most n scenarios fail, they are run once more, one at a time, when all others are over, and
# the second run counts. Many hold a rate or a deadline against the clock beside another scenario, on a machine whose disk and
# processors somebody else may use too. What failed at first is told in any case.
program=$1
case $program in
    */deps/it-*) ;;
    *) exec "$@" ;;
esac
for word in "$@"; do
    # Somebody only wants to know what there is.
    case $word in --list | --help | -h) exec "$@" ;; esac
done
filters=
shift
skip=
for word in "$@"; do
    if [ -n "$skip" ]; then skip= && continue; fi
    case $word in
        --test-threads | --skip | --logfile | --color | --format | -Z | --shuffle-seed) skip=1 ;;
        -*) ;;
        *) filters="$filters $word" ;;
    esac
done
if [ -n "$filters" ] && ! "$program" "$@" --list 2>/dev/null | grep -q ': test$'; then
    echo "error: no test matches$filters" >&2
    near=$("$program" --list 2>/dev/null | sed -n 's/: test$//p' | grep -i -- "$(echo "$filters" | cut -c2-5)" | head -n 5)
    [ -z "$near" ] || printf '  perhaps one of these:\n%s\n' "$near" | sed '2,$s/^/    /' >&2
    exit 101
fi
[ "${REPEAT_FAILED:-0}" -gt 0 ] || exec "$program" "$@"

log=$(mktemp)
trap 'rm -f "$log" "$log.code"' EXIT
{
    code=0
    "$program" "$@" || code=$?
    echo "$code" >"$log.code"
} 2>&1 | tee "$log"
code=$(cat "$log.code")
failed=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
number=$(echo "$failed" | wc -w)
if [ "$code" -eq 0 ] || [ "$number" -eq 0 ] || [ "$number" -gt "$REPEAT_FAILED" ]; then exit "$code"; fi
printf '\nThese failed beside others, and are run once more, one at a time:\n%s\n' "$failed"
# shellcheck disable=SC2086
"$program" --exact --include-ignored --test-threads=1 $failed || exit
printf 'They passed alone. What they said at first stands above.\n'
