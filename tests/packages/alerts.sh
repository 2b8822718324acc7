#!/bin/sh
# Alerts fire: real daemons are brought into trouble under a real Prometheus.
set -eu
# Four at a time: they wait for the next scrape most of the time.
cargo test --locked --features failpoints --test it -- --ignored alerts::live --test-threads=4
