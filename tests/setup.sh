#!/bin/sh
# tools/setup on machines that are not this one: stand-ins for dpkg-query, id and apt-get come first in PATH.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
fake=$(mktemp -d)
trap 'rm -rf "$fake"' EXIT
fail() {
    echo "FAILED: $1" >&2
    exit 1
}
tool() { # NAME SCRIPT
    printf '#!/bin/sh\n%s\n' "$2" >"$fake/$1"
    chmod +x "$fake/$1"
}
setup() {
    code=0
    PATH="$fake:$PATH" "$root/tools/setup" "$@" >"$fake/out" 2>"$fake/err" || code=$?
}
tool apt-get "echo \"\$@\" >>'$fake/calls'"

# nothing is missing: nothing is said or done
tool dpkg-query 'echo installed'
tool id 'echo 1000'
setup --test
[ $code = 0 ] && [ ! -s "$fake/out" ] && [ ! -s "$fake/err" ] && [ ! -e "$fake/calls" ] || fail "not silent"

# cmake alone is missing (a removed package keeps its configuration: that is no installation either), and no root
tool dpkg-query 'for last; do :; done; [ "$last" = cmake ] && echo config-files || echo installed'
setup --test
[ $code = 1 ] && [ ! -e "$fake/calls" ] || fail "went on without packages"
[ "$(cat "$fake/err")" = "setup: packages are missing; install them with: sudo apt-get install --no-install-recommends cmake" ] ||
    fail "says $(cat "$fake/err")"

# everything is missing: the packages of the tests only when they are asked for
tool dpkg-query 'exit 1'
setup
grep -q ' gcc .* zlib1g-dev' "$fake/err" && ! grep -q cmocka "$fake/err" || fail "build packages: $(cat "$fake/err")"
setup --test
grep -q ' gcc .* libcmocka-dev clang-format' "$fake/err" || fail "test packages: $(cat "$fake/err")"

# root installs them, in one line of output
tool id 'echo 0'
setup
[ $code = 0 ] && [ "$(wc -l <"$fake/out")" = 1 ] || fail "as root: $code, $(cat "$fake/out")"
[ "$(sed -n 1p "$fake/calls")" = update ] && sed -n 2p "$fake/calls" | grep -q '^install -y --no-install-recommends gcc ' ||
    fail "apt-get got $(cat "$fake/calls")"

# apt-get's own words are shown when it fails
tool apt-get 'echo "E: no network" >&2; exit 100'
setup
[ $code = 1 ] && grep -q 'E: no network' "$fake/err" && grep -q 'apt-get failed' "$fake/err" || fail "silent about apt-get"

setup --nonsense
[ $code = 2 ] || fail "takes --nonsense"
