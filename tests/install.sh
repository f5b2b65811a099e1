#!/bin/sh
# install.sh BUILD: what `make install` puts where, and that what it puts there works.
set -eu
build=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
DESTDIR=$root cmake --install "$build" >/dev/null
prefix=$root$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")

for file in bin/telepathy share/man/man1/telepathy.1 share/bash-completion/completions/telepathy \
    share/zsh/site-functions/_telepathy share/fish/vendor_completions.d/telepathy.fish; do
    [ -s "$prefix/$file" ] || { echo "FAILED: $file was not installed" >&2; exit 1; }
done
"$prefix/bin/telepathy" version | grep -q '^telepathy [0-9]'
[ "$(sed -n 1p "$prefix/share/man/man1/telepathy.1" | cut -c1-15)" = ".TH TELEPATHY 1" ]

pc=$(find "$prefix" -name telepathy.pc)
[ -n "$pc" ]
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$root"
libs=$(pkg-config --libs telepathy)
for library in libtelepathy.a libtelepathy.so; do
    [ -n "$(find "$prefix" -name $library)" ] || { echo "FAILED: $library was not installed" >&2; exit 1; }
done
case $libs in *-ltelepathy*) ;; *) echo "FAILED: pkg-config gives: $libs" >&2; exit 1 ;; esac

# With the public header a caller's program compiles against what was installed, and runs with the shared library.
[ -f "$(dirname "$0")/../include/telepathy.h" ] || exit 0
printf '#include <telepathy.h>\nint main(void) { return 0; }\n' >"$root/caller.c"
# shellcheck disable=SC2046 # flags are words
cc -std=c17 -Wall -Wextra -Wpedantic -Werror "$root/caller.c" -o "$root/caller" $(pkg-config --cflags --libs telepathy)
library=$(find "$prefix" -name libtelepathy.so)
LD_LIBRARY_PATH="${library%/*}" "$root/caller"
