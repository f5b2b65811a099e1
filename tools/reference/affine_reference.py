#!/usr/bin/env python3
"""Principal components and ridge regression, computed with NumPy, scikit-learn and SciPy.

    python tools/reference/affine_reference.py [--out tests/fixtures/affine.json]

Inputs are random, with directions of very different size and a mean far from zero, and rounded to f32.

tall, wide   x [n, d] with n > d and n < d (the two ways to find components)
             pca       share held by each number of components, and the coordinates [n, k] of the rows along the first
                       k directions, each pointing to where its largest entry is positive (sklearn.decomposition.PCA)
             y [n, 3]  targets, and for each penalty the ridge regression's predictions for the rows of x: weights from
                       the normal equations in f64, checked against sklearn.linear_model.Ridge, whose alpha is the
                       penalty times the number of rows times the mean variance of an input
"""
import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from fixture_io import FIXTURES

PENALTIES = [1e-4, 1e-2, 1.0]
COMPONENTS = 4


def components(x):
    pca = PCA(svd_solver="full").fit(x)
    directions = pca.components_[:COMPONENTS]
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(COMPONENTS), largest])[:, None]
    return {"held": np.cumsum(pca.explained_variance_ratio_)[:COMPONENTS].tolist(),
            "coordinates": ((x - x.mean(axis=0)) @ directions.T).tolist()}


def ridge(x, y, penalty):
    centred, targets = x - x.mean(axis=0), y - y.mean(axis=0)
    n, d = x.shape
    variance = (centred ** 2).mean()
    weights = np.linalg.solve(centred.T @ centred / n + penalty * variance * np.eye(d), centred.T @ targets / n)
    found = centred @ weights + y.mean(axis=0)
    assert np.allclose(found, Ridge(alpha=penalty * n * variance).fit(x, y).predict(x), rtol=1e-7, atol=1e-9)
    return found


def case(rng, n, d):
    sizes = 2.0 ** -np.arange(d)
    x = (rng.normal(size=(n, d)) * sizes) @ np.linalg.qr(rng.normal(size=(d, d)))[0] + 3 * rng.normal(size=d)
    x = x.astype(np.float32).astype(np.float64)
    y = (x @ rng.normal(size=(d, 3)) + 0.3 * rng.normal(size=(n, 3)) + 5).astype(np.float32).astype(np.float64)
    return {"n": n, "d": d, "x": x.tolist(), "y": y.tolist(), "pca": components(x),
            "ridge": [{"penalty": p, "found": ridge(x, y, p).tolist()} for p in PENALTIES]}


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "affine.json")
    args = parser.parse_args()
    rng = np.random.default_rng(5)
    cases = {"tall": case(rng, 30, 6), "wide": case(rng, 9, 14)}
    body = ",\n".join(f'"{name}": {json.dumps(rounded(c))}' for name, c in cases.items())
    args.out.write_text("{\n" + body + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
