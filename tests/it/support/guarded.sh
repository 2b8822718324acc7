# Runs a program that ends when its owner does, however that happens.
#
#   sh guarded.sh LOG SIGNAL SWEEP PROGRAM [ARGUMENT]...
#
# Prints the program's process id, then, at its end, its exit code (128 + n: killed by signal n).
# The owner holds this script's standard input; when that closes (the owner closed it, exited, or
# was killed), the program gets SIGNAL, five seconds later SIGKILL, and the folder SWEEP is removed.
# A program that ends by itself leaves SWEEP as it is.
#
# GUARDED_UMASK: the umask of the program, if it is to have another one.
log=$1 signal=$2 sweep=$3
shift 3
[ -z "$GUARDED_UMASK" ] || umask "$GUARDED_UMASK"
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
program=$!
echo "$program"

orphaned=
trap 'orphaned=1; kill "-$signal" "$program" 2>/dev/null' TERM
( read -r _ <&3; kill -TERM $$ ) >/dev/null 2>&1 &
watcher=$!
wait "$program"
code=$?
if [ -n "$orphaned" ]; then
    # The signal ended that wait, not the program.
    ( sleep 5; kill -KILL "$program" ) >/dev/null 2>&1 3<&- &
    last_resort=$!
    wait "$program"
    code=$?
    kill -KILL "$last_resort" 2>/dev/null
    rm -rf "$sweep"
else
    trap '' TERM
    kill -KILL "$watcher" 2>/dev/null
fi
echo "$code"
