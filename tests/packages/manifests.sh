#!/bin/sh
# The Kubernetes manifests keep to the schemas of Kubernetes, with nothing unknown in them; the
# configuration inside each of them, and those of image and compose, load.
set -eu
python=$WORK/python
[ -x "$python/bin/kubernetes-validate" ] ||
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target "$python" kubernetes-validate==1.34.1
export PYTHONPATH="$python"
"$python/bin/kubernetes-validate" --strict --kubernetes-version 1.31.0 deploy/kubernetes/*.yaml
cargo build --locked --features failpoints --bin tidegate --quiet
python3 tests/packages/manifests.py "$CARGO_TARGET_DIR/debug/tidegate"
