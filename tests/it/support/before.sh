# Builds the program of an earlier commit of this repository, for scenarios of an upgrade: before.sh COMMIT TARGET
# TARGET is the folder that holds `debug`; the program stands in TARGET/before/debug/tidegate then, which is the last
# line of the output. Ends with 3 and a sentence where the history does not have the commit.
set -eu
commit=$1 target=$2
before=$target/before
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
	echo "this checkout has no history with the commit $commit"
	exit 3
fi
if [ "$(cat "$before/built" 2>/dev/null)" != "$commit" ]; then
	rm -rf "$before/source"
	mkdir -p "$before/source" "$before/debug"
	git archive "$commit" | tar -x -C "$before/source"
	# Dependencies that are compiled already, as the tests use them; of the package itself nothing.
	for part in deps build .fingerprint; do
		mkdir -p "$before/debug/$part"
		find "$target/debug/$part" -mindepth 1 -maxdepth 1 ! -name 'tidegate*' ! -name 'libtidegate*' \
			! -name 'it-*' ! -name 'tidy-*' ! -name 'suite-*' ! -name 'backlog-*' ! -name 'demo-*' \
			-exec cp -al -t "$before/debug/$part" {} + 2>/dev/null || true
	done
	# With the features of the tests, or most dependencies would be compiled once more. The test named is the
	# smallest; the program is compiled with it.
	cd "$before/source"
	CARGO_TARGET_DIR=$before "${CARGO:-cargo}" test --quiet --locked --features failpoints --test tidy --no-run >&2
	echo "$commit" >"$before/built"
fi
echo "$before/debug/tidegate"
