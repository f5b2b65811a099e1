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

# The examples compile against what was installed and run with the shared library: without arguments each says how it is
# used, with some it does its work.
source=$(dirname "$0")/..
library=$(find "$prefix" -name libtelepathy.so)
sanitize= # a library with sanitizers wants a program with them
if grep -q '^TP_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then sanitize=-fsanitize=address,undefined; fi
for example in "$source"/examples/*.c; do
    # shellcheck disable=SC2046,SC2086 # flags are words
    cc $sanitize -std=c17 -Wall -Wextra -Wpedantic -Werror "$example" -o "$root/example" $(pkg-config --cflags --libs telepathy) -lm
    status=0
    LD_LIBRARY_PATH="${library%/*}" "$root/example" 2>"$root/usage" || status=$?
    [ $status = 2 ] && grep -q '^usage: ' "$root/usage" || { echo "FAILED: $example gives $status" >&2; exit 1; }
    case $example in
    */generate.c) set -- "A bee is" 4 7; answer='^A bee is.' ;;
    */read_states.c) set -- "A bee" 0 3; answer='^layer 3 ' ;;
    */inject_embeddings.c) set -- "The" " king queen" " of"; answer='^5[.] ".*" (logit ' ;;
    *) echo "FAILED: $example is not run here" >&2; exit 1 ;;
    esac
    LD_LIBRARY_PATH="${library%/*}" "$root/example" "$source/models/wren" "$@" >"$root/answer"
    grep -q "$answer" "$root/answer" || { echo "FAILED: $example answers:" >&2; cat "$root/answer" >&2; exit 1; }
done

# The shared library exports what the header declares: nothing more, nothing less.
sed -n 's/^[a-z].*[ *]\(tp_[a-z_]*\)(.*/\1/p' "$(find "$prefix" -name telepathy.h)" | sort >"$root/declared"
nm -D --defined-only "$library" | sed -n 's/.* T \(tp_.*\)/\1/p' | sort >"$root/exported"
diff "$root/declared" "$root/exported" || { echo "FAILED: the library exports other functions (>) than its header declares (<)" >&2; exit 1; }
