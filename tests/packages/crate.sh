#!/bin/sh
# The crate holds what it is built from and nothing of the workshop; `cargo install` works.
set -eu
list=$WORK/crate.list
cargo package --locked --allow-dirty --list >"$list"
fail() { echo "crate: $*" >&2; exit 1; }

for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE Cargo.lock config/default.toml; do
    grep -qx "$file" "$list" || fail "$file is missing"
done
if grep -E '^(\.|deploy/|docs/|tests/|benches/|examples/|target/|run/)' "$list" | grep -vx '.cargo_vcs_info.json'; then
    fail "these do not belong into the crate"
fi

# rustc wrote down which files it read for the program that was built last.
cargo build --locked --profile "$PROFILE" --bin tidegate
sed 's/^[^:]*: //; s/ /\n/g' "$CARGO_TARGET_DIR/$PROFILE/tidegate.d" | sed "s#^$PWD/##" | while read -r file; do
    case $file in
        '' | /*) ;;
        *) grep -qx "$file" "$list" || fail "the program is built from $file, which is not in the crate" ;;
    esac
done

cargo install --locked --path . --profile "$PROFILE" --root "$WORK/installed" --force --quiet
"$WORK/installed/bin/tidegate" --version
