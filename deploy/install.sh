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
    "$root/share/man/man1" "$doc"

install -m 755 "$program" "$root/bin/tidegate"
sed -e "s|/usr/bin/|$prefix/bin/|g" -e "s|/usr/share/doc/|$prefix/share/doc/|g" \
    deploy/systemd/tidegate.service >"$root/lib/systemd/system/tidegate.service"
"$program" completion bash >"$root/share/bash-completion/completions/tidegate"
"$program" completion zsh >"$root/share/zsh/site-functions/_tidegate"
"$program" completion fish >"$root/share/fish/vendor_completions.d/tidegate.fish"
"$program" man "$root/share/man/man1"
install -m 644 config/example.toml docs/*.md "$doc"
chmod 644 "$root/lib/systemd/system/tidegate.service"

echo "installed $prefix/bin/tidegate"
case ":$PATH:" in
    *":$prefix/bin:"*) command=tidegate ;;
    *) command=$prefix/bin/tidegate ;;
esac
echo "  next   $command serve"
