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

# The examples compile against what was installed, and find the shared library: without arguments each says how it is used.
library=$(find "$prefix" -name libtelepathy.so)
sanitize= # a library with sanitizers wants a program with them
if grep -q '^TP_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then sanitize=-fsanitize=address,undefined; fi
for example in "$(dirname "$0")"/../examples/*.c; do
    # shellcheck disable=SC2046,SC2086 # flags are words
    cc $sanitize -std=c17 -Wall -Wextra -Wpedantic -Werror "$example" -o "$root/example" $(pkg-config --cflags --libs telepathy) -lm
    status=0
    LD_LIBRARY_PATH="${library%/*}" "$root/example" 2>"$root/usage" || status=$?
    [ $status = 2 ] && grep -q '^usage: ' "$root/usage" || { echo "FAILED: $example gives $status" >&2; exit 1; }
done

# The shared library exports what the header declares: nothing more, nothing less.
sed -n 's/^[a-z].*[ *]\(tp_[a-z_]*\)(.*/\1/p' "$(find "$prefix" -name telepathy.h)" | sort >"$root/declared"
nm -D --defined-only "$library" | sed -n 's/.* T \(tp_.*\)/\1/p' | sort >"$root/exported"
diff "$root/declared" "$root/exported" || { echo "FAILED: the library exports other functions (>) than its header declares (<)" >&2; exit 1; }
