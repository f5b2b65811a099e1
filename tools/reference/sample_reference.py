#!/usr/bin/env python3
"""Reference values for the sampling steps, computed with NumPy by full sorts.

    python tools/reference/sample_reference.py [--out tests/fixtures/sample.json]

logits  [[...]]  f32 numbers; among them ties, a logit far above the others, and a flat distribution
cases   [{logits: index, last: ids so far, repeat_penalty, repeat_window, top_k, top_p, min_p, temperature, banned,
          ids: those kept, likeliest first, p: their probabilities, picks: [[u, id], ...]}]

The steps follow llama.cpp's default chain: penalty, top-k, top-p, min-p, temperature, draw. Each case uses one step alone
or several together. They are written from the definitions, not from the C.
"""
import argparse
import json
from pathlib import Path

import numpy as np

from fixture_io import FIXTURES

OFF = dict(repeat_penalty=0.0, repeat_window=0, top_k=0, top_p=0.0, min_p=0.0, temperature=1.0, banned=[], last=[])
STEPS = [
    dict(),
    dict(temperature=0.0),
    dict(temperature=0.3),
    dict(temperature=2.5),
    dict(top_k=1),
    dict(top_k=7),
    dict(top_k=1000),
    dict(top_p=0.5),
    dict(top_p=0.9),
    dict(top_p=1.0),
    dict(top_p=1e-9),
    dict(min_p=0.05),
    dict(min_p=0.5),
    dict(min_p=1.0),
    dict(top_k=10, top_p=0.8),
    dict(top_k=40, top_p=0.95, min_p=0.05, temperature=0.8),
    dict(top_p=0.9, min_p=0.1, temperature=3.0),
    dict(repeat_penalty=1.3, last=[3, 5, 5, 17, -1, 2]),
    dict(repeat_penalty=1.3, repeat_window=2, last=[3, 5, 5, 17, -1, 2]),
    dict(repeat_penalty=0.7, last=[0, 1, 2, 3, 4]),
    dict(repeat_penalty=1.5, repeat_window=4, last=[9, 8, 7, 6, 5, 4, 3, 2, 1], temperature=0.0),
    dict(repeat_penalty=1.1, last=list(range(20)), top_k=20, top_p=0.9, min_p=0.02, temperature=1.4),
    dict(banned=[0, 11, 23], temperature=0.7),
    dict(banned=[0, 11, 23], temperature=0.0),
]
DRAWS = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1 - 2.0**-53]


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def candidates(logits, repeat_penalty, repeat_window, top_k, top_p, min_p, temperature, banned, last):
    x = logits.astype(np.float64)
    window = last[-repeat_window:] if repeat_window else last
    if repeat_penalty not in (0, 1):
        for i in {i for i in window if i >= 0}:
            x[i] = x[i] / repeat_penalty if x[i] > 0 else x[i] * repeat_penalty
    x[banned] = -np.inf
    ids = np.lexsort((np.arange(len(x)), -x))  # by logit down, then by id
    if temperature == 0:
        return ids[:1], np.ones(1)
    if top_k:
        ids = ids[:top_k]
    if 0 < top_p < 1:
        reached = np.cumsum(softmax(x[ids])) >= top_p
        ids = ids[: int(np.argmax(reached)) + 1] if reached.any() else ids
    if min_p > 0:
        p = softmax(x[ids])
        ids = ids[p >= min_p * p[0] * (1 - 1e-12)]
    return ids, softmax(x[ids] / temperature)


def pick(ids, p, u):
    return int(ids[min(int(np.searchsorted(np.cumsum(p), u, side="right")), len(ids) - 1)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "sample.json")
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    ties = np.round(rng.normal(0, 2, 31) * 2) / 2
    peak = rng.normal(0, 1, 50)
    peak[11] = 9
    rows = [rng.normal(0, 3, 60), ties, peak, rng.normal(0, 0.01, 24), -np.abs(rng.normal(5, 2, 40))]
    rows = [np.array([float(f"{v:.4f}") for v in row], np.float32) for row in rows]
    cases = []
    for index, row in enumerate(rows):
        for step in STEPS:
            settings = OFF | step
            ids, p = candidates(row, **settings)
            cumulative = np.cumsum(p)
            draws = [u for u in DRAWS if np.all(np.abs(cumulative[:-1] - u) > 1e-9)]
            cases.append({"logits": index, **settings, "ids": ids.tolist(), "p": [float(f"{v:.15g}") for v in p],
                          "picks": [[u, pick(ids, p, u)] for u in draws]})
    lines = [json.dumps(case) for case in cases]
    logits = json.dumps([[float(f"{v:.4f}") for v in row] for row in rows])
    args.out.write_text('{"logits": ' + logits + ',\n "cases": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
