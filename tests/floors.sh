#!/bin/sh
# tools/check-floors finds what it is for: includes that go up, sideways, or nowhere; and lets the others pass.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/src/base" "$tree/src/tensor/cpu" "$tree/src/text" "$tree/src/data" "$tree/src/cli"

good() {
    "$root/tools/check-floors" "$tree" || { echo "FAILED: refused though all is well: $1" >&2; exit 1; }
}
bad() { # FILE INCLUDE: with the include the tree must be refused, and the file named
    printf '#include "%s"\n' "$2" >"$tree/$1"
    if "$root/tools/check-floors" "$tree" >"$tree/out"; then
        echo "FAILED: $1 may include $2" >&2
        exit 1
    fi
    grep -q "^$1:1: \"$2\"" "$tree/out"
    rm "$tree/$1"
}

printf '#include "base/error.h"\n#include <stdio.h>\n' >"$tree/src/base/error.c"
printf '#include "base/error.h"\n#include "tensor/tensor.h"\n' >"$tree/src/tensor/cpu/kernels.c"
printf '#include "data/task.h"\n#include "text/tokenizer.h"\n' >"$tree/src/cli/main.c"
printf '/* "text/tokenizer.h" is only spoken of */\n#include "base/str.h"\n' >"$tree/src/data/task.c"
good "includes that point down"
bad src/base/up.c tensor/tensor.h
bad src/text/side.c data/task.h
bad src/data/engine.c tensor/tensor.h
bad src/tensor/cpu/up.c cli/command.h
bad src/cli/nowhere.c nowhere/x.h
good "the same tree again"
mkdir "$tree/src/cellar"
echo >"$tree/src/cellar/x.c"
if "$root/tools/check-floors" "$tree" >/dev/null; then
    echo "FAILED: a folder on no floor is let through" >&2
    exit 1
fi
