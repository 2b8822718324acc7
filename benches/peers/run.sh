#!/bin/sh
# The peers on the same machine, beside `make bench`. Needs node and npm; everything it installs or
# starts is below target/ and ends with it.
set -eu
cd "$(dirname "$0")"
here=$PWD
work=${CARGO_TARGET_DIR:-$here/../../target}/peers
command -v npm >/dev/null 2>&1 || {
    echo "tidegate: the peers need node and npm (Debian: apt-get install nodejs npm)" >&2
    exit 1
}
mkdir -p "$work"
cp package.json bullmq.mjs "$work"
cd "$work"
npm install --silent --no-fund --no-audit
port=$(node -e 's=require("net").createServer().listen(0,()=>{console.log(s.address().port);s.close()})')
redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no >/dev/null &
server=$!
trap 'kill $server' EXIT
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
node bullmq.mjs "$port"
