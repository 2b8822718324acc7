#!/bin/sh
# Puts a built tidegate where programs of this system are: `make install` runs it.
#
#   sh deploy/install.sh PROGRAM PREFIX [DESTDIR]
#
# Everything goes below DESTDIR/PREFIX: the program, its systemd unit, the completions of three shells, the
# man pages, and the example configuration. DESTDIR is for packages: no path in a file names it.
set -eu

program=$1 prefix=$2 root=${3:-}$2
cd "$(dirname "$0")/.."

if [ ! -x "$program" ]; then
    echo "tidegate: $program is missing: run \`make dist\` first, as a user who has cargo." >&2
    exit 1
fi
# A folder that cannot be made is the commonest trouble, and is said before anything is written.
if ! mkdir -p "$root/bin" 2>/dev/null || [ ! -w "$root/bin" ]; then
    echo "tidegate: $root/bin cannot be written: run \`sudo make install\`, or \`make install PREFIX=\$HOME/.local\`." >&2
    exit 1
fi

doc=$root/share/doc/tidegate
mkdir -p "$root/lib/systemd/system" "$root/share/bash-completion/completions" \
    "$root/share/zsh/site-functions" "$root/share/fish/vendor_completions.d" \
    "$root/share/man/man1" "$doc/docs/examples" "$doc/docs/from" "$doc/config"

install -m 755 "$program" "$root/bin/tidegate"
sed -e "s|/usr/bin/|$prefix/bin/|g" -e "s|/usr/share/doc/|$prefix/share/doc/|g" \
    deploy/systemd/tidegate.service >"$root/lib/systemd/system/tidegate.service"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
sh deploy/share.sh "$program" "$made"
install -m 644 "$made/bash/tidegate" "$root/share/bash-completion/completions/tidegate"
install -m 644 "$made/zsh/_tidegate" "$root/share/zsh/site-functions/_tidegate"
install -m 644 "$made/fish/tidegate.fish" "$root/share/fish/vendor_completions.d/tidegate.fish"
install -m 644 "$made"/man/*.1 "$root/share/man/man1"
# The folders of the repository, so that the links between pages hold.
install -m 644 README.md CHANGELOG.md "$doc"
install -m 644 docs/*.md "$doc/docs"
install -m 644 docs/examples/*.md "$doc/docs/examples"
install -m 644 docs/from/*.md "$doc/docs/from"
install -m 644 config/*.toml "$doc/config"
chmod 644 "$root/lib/systemd/system/tidegate.service"

echo "installed $prefix/bin/tidegate"
case ":$PATH:" in
    *":$prefix/bin:"*) command=tidegate ;;
    *) command=$prefix/bin/tidegate ;;
esac
echo "  next   $command serve"
