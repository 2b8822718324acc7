#!/bin/sh
# Alerts fire: real daemons are brought into trouble under a real Prometheus.
set -eu
cargo test --locked --features failpoints --test it -- --ignored alerts::live --test-threads=2
