#!/usr/bin/env python3
"""Exact match and F1 as SQuAD defines them, computed with torchmetrics.

    python tools/reference/text_scores_reference.py [--out tests/fixtures/text_scores.json]

torchmetrics' SQuAD metric follows the official evaluation scripts and is code of its own. It differs from that of v1.1 in
one place: where nothing is left of both texts, F1 is 1 in v2.0 and 0 in v1.1, whose value is written here. The fixture
holds [{answer, golds, exact, f1}]: answers chosen to disagree where an implementation is careless (articles in
and beside words, punctuation inside words, repeated words, blanks and dashes outside ASCII, capitals outside ASCII,
nothing left after normalisation), and answers drawn from a fixed random stream of words.
"""
import argparse
import json
import random

from torchmetrics.functional.text.squad import _compute_exact_match_score, _compute_f1_score, _get_tokens

from fixture_io import FIXTURES

BY_HAND = [
    ("Denver Broncos", ["Denver Broncos", "The Denver Broncos"]),
    ("the Denver Broncos.", ["Denver Broncos"]),
    ("Broncos", ["Denver Broncos", "The Denver Broncos"]),
    ("An apple a day", ["apple day"]),
    ("theatre", ["the atre", "atre"]),
    ("a-the-an", ["athean"]),
    ("a", ["the"]),
    ("", ["a"]),
    ("", ["something"]),
    ("...", ["!?"]),
    ("$1,234.50", ["123450"]),
    ("1 1 1", ["1"]),
    ("to be or not to be", ["to be to be to"]),
    ("x y z", ["z y x"]),
    ("  many\t blanks \n here ", ["many blanks here"]),
    ("no\u00a0break\u2003space", ["no break space"]),
    ("\u00dcBER \u00c9cole", ["\u00fcber \u00e9cole"]),
    ("caf\u00e9", ["cafe"]),
    ("\u2014a\u2014", ["\u2014 \u2014", "\u2014\u2014"]),
    ("l'\u00e9tat a l'\u00e9tat", ["l\u00e9tat l\u00e9tat"]),
    ("\u201cquoted\u201d", ["quoted", "\u201cquoted\u201d"]),
    ("snake_case_a", ["snakecasea"]),
    ("U.S.A.", ["usa", "u s a"]),
    ("the The THE thE", ["anything"]),
    ("A\u0301 b", ["b", "\u0301 b"]),
    ("1990\u20131991", ["1990 1991", "1990\u20131991"]),
    ("\u4e2d\u6587 the \u4e2d\u6587", ["\u4e2d\u6587"]),
    ("one two three four", ["three four five six seven", "four", "one two"]),
]
WORDS = ["the", "a", "an", "The", "cat", "Cat,", "cat's", "dog", "dog.", "in", "1990", "(in", "1990)", "north-west", "A."]


def drawn(n):
    rng = random.Random(4)
    for _ in range(n):
        def text():
            return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(0, 7)))
        yield text(), [text() for _ in range(rng.randrange(1, 4))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=FIXTURES / "text_scores.json")
    rows = [{"answer": answer, "golds": golds,
             "exact": max(int(_compute_exact_match_score(answer, gold)) for gold in golds),
             "f1": max(float(_compute_f1_score(answer, gold)) if _get_tokens(gold) else 0.0 for gold in golds)}
            for answer, golds in BY_HAND + list(drawn(80))]
    with open(parser.parse_args().out, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
