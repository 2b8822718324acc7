#!/bin/sh
# BullMQ on the same machine, beside the figures of the last `make bench`.
#
#   sh benches/peers/run.sh check    whether node and npm are there
#   sh benches/peers/run.sh          measures
#
# Everything it installs or starts is below cargo's target folder and ends with it.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/peers
for program in node npm; do
    command -v "$program" >/dev/null 2>&1 || {
        echo "tidegate: $program is missing, and the peers run on it (Debian: apt-get install nodejs npm)." \
            "make bench measures Tidegate alone." >&2
        exit 1
    }
done
if [ "${1:-}" = check ]; then exit 0; fi

mkdir -p "$work"
cp benches/peers/*.mjs benches/peers/package.json "$work"
(cd "$work" && npm install --silent --no-fund --no-audit) || {
    echo "tidegate: npm could not install BullMQ; the reason stands above" >&2
    exit 1
}
read -r rounds share <<END
$(node -p 'const b = JSON.parse(require("fs").readFileSync(process.argv[1])); b.rounds + " " + b.share' "$target/bench.json")
END
figures=$work/figures.jsonl
: >"$figures"
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi' EXIT
trap 'exit 1' INT TERM
round=0
while [ "$round" -lt "$rounds" ]; do
    port=$(node -e 'const s = require("net").createServer().listen(0, () => { console.log(s.address().port); s.close(); });')
    redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir "$work" >/dev/null &
    server=$!
    until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
    node "$work/bullmq.mjs" "$port" "$round" "$share" >>"$figures"
    kill "$server"
    wait "$server" || true
    server=
    round=$((round + 1))
done
node "$work/table.mjs" "$target/bench.json" "$figures" "$target/bench-peers.json"
