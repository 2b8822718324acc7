#!/bin/sh
# The image, without a container engine: the steps of its last stage are run in a small Debian in a folder,
# and what comes out is started as the engine would start it, alone and as compose has it.
#
# Not run, for want of an engine: the stage that compiles (the program is the one that this machine has
# compiled by the same command; that every file it is built from is in the context, is checked), and what an
# engine alone does: layers, the bases as they are published, networks between containers.
set -eu
. tests/packages/base.sh
ROOT=$WORK/image

fresh "$ROOT"
cargo build --locked --profile "$PROFILE" --bin tidegate
python3 tests/packages/image.py build "$ROOT" "$CARGO_TARGET_DIR/$PROFILE"
unshare --mount --pid --net --fork --kill-child sh -euc '
    mount --make-rprivate /
    mount -t proc proc /proc
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs tmpfs "$1/tmp"
    ip link set lo up
    exec python3 tests/packages/image.py try "$1"
' image "$ROOT"
