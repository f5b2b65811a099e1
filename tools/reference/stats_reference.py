#!/usr/bin/env python3
"""Reference values for the statistics of the evaluation reports, computed with SciPy.

    python tools/reference/stats_reference.py [--out tests/fixtures/stats.json]

wilson         [{k, n, low, high}]        95 % Wilson score interval of k successes in n (no continuity correction)
mcnemar_exact  [{b, c, p}]                two-sided binomial p of b against c discordant pairs; 1 where b + c = 0
mcnemar_chi2   [{b, c, statistic, p}]     max(|b - c| - 1, 0)^2 / (b + c) on one degree of freedom, for b + c >= 25.
                                          (Without the max, b = c would give a statistic above that of |b - c| = 1.)
holm           [{p: [...], adjusted: [...]}]   step-down adjusted p-values in the order of the input, cut at 1
"""
import argparse
import json
import math
from pathlib import Path

from scipy.stats import binomtest, chi2, norm

from fixture_io import FIXTURES

WILSON = [(0, 1), (1, 1), (0, 10), (10, 10), (1, 10), (5, 10), (7, 23), (50, 100), (96, 100), (867, 872), (3, 872),
          (6540, 7600), (1, 100000)]
DISCORDANT = [(0, 0), (1, 0), (0, 5), (5, 5), (1, 9), (8, 2), (10, 14), (3, 21), (0, 24), (12, 13), (5, 20), (13, 13),
              (30, 12), (44, 60), (100, 140), (400, 310), (0, 40)]
HOLM = [[0.01], [0.01, 0.04, 0.03, 0.005], [0.2, 0.02, 0.02, 0.9, 0.001, 0.3], [1.0, 0.8, 0.6], [0.0, 0.05, 0.05],
        [0.012, 0.013, 0.011, 0.014]]


def wilson(k, n, confidence=0.95):
    z = norm.ppf(0.5 + confidence / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    scipys = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert math.isclose(low, scipys.low, abs_tol=1e-12) and math.isclose(high, scipys.high, abs_tol=1e-12)
    return low, high


def mcnemar_exact(b, c):
    return float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0


def mcnemar_chi2(b, c):
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    return statistic, float(chi2.sf(statistic, 1))


def holm(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "stats.json")
    args = parser.parse_args()

    values = {"wilson": [], "mcnemar_exact": [], "mcnemar_chi2": [], "holm": []}
    for k, n in WILSON:
        low, high = wilson(k, n)
        values["wilson"].append({"k": k, "n": n, "low": low, "high": high})
    for b, c in DISCORDANT:
        values["mcnemar_exact"].append({"b": b, "c": c, "p": mcnemar_exact(b, c)})
        if b + c >= 25:
            statistic, p = mcnemar_chi2(b, c)
            values["mcnemar_chi2"].append({"b": b, "c": c, "statistic": statistic, "p": p})
    for p in HOLM:
        values["holm"].append({"p": p, "adjusted": holm(p)})

    body = ",\n".join(f'  "{name}": [\n' + ",\n".join("    " + json.dumps(row) for row in rows) + "\n  ]"
                      for name, rows in values.items())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("{\n" + body + "\n}\n", encoding="utf-8")
    print(f"{args.out.name}: {', '.join(f'{len(rows)} {name}' for name, rows in values.items())}")


if __name__ == "__main__":
    main()
