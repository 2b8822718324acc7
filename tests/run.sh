#!/bin/sh
# Cargo starts every program that it has built through this file (.cargo/config.toml).
#
# A filter that matches no test is a mistake, and the test harness calls it a success: "cargo it nope" ran
# nothing and was green. Here it is an error. Everything else starts as it is.
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
exec "$program" "$@"
