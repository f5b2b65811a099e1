#!/usr/bin/env python3
"""src/text/scripts_table.h: which script each character has for the pre-tokenizer UnicodeScripts of `tokenizers`.

    python tools/reference/script_table.py [--out src/text/scripts_table.h]

The reference says nothing about a character but where it cuts a text, so that is asked: a character has no script if
neither "a" nor a Greek letter is cut from it, and the script of a character met before if it is not cut from that one.
"""
import argparse
from pathlib import Path

from tokenizers.pre_tokenizers import UnicodeScripts

from fixture_io import ROOT

HEAD = """/* Made by tools/reference/script_table.py: do not edit. Ranges of characters of one script, in order. */
#ifndef TP_TEXT_SCRIPTS_TABLE_H
#define TP_TEXT_SCRIPTS_TABLE_H

#include <stdint.h>

static const struct {
    uint32_t first, last;
    uint8_t script;
} tp_script_ranges[] = {
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "text" / "scripts_table.h")
    out = parser.parse_args().out
    split = UnicodeScripts().pre_tokenize_str
    apart = lambda a, b: len(split(a + b)) > 1
    known = []  # a character of each script
    ranges = []
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        c = chr(code)
        if not apart("a", c) and not apart("\u03b1", c):
            continue
        last = ranges[-1] if ranges else None
        if last and last[1] == code - 1 and not apart(chr(code - 1), c):
            last[1] = code
            continue
        script = next((i for i, k in enumerate(known) if not apart(k, c)), len(known))
        if script == len(known):
            known.append(c)
        ranges.append([code, code, script + 1])
    assert len(known) < 256
    rows = ", ".join("{0x%X, 0x%X, %d}" % tuple(r) for r in ranges)
    out.write_text(HEAD + "    " + rows + ",\n};\n\n#endif\n", encoding="ascii")
    print(len(known), "scripts,", len(ranges), "ranges; now clang-format -i", out)


if __name__ == "__main__":
    main()
