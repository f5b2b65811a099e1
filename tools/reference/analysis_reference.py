#!/usr/bin/env python3
"""Reference values for PCA, t-SNE and ridge regression, computed with NumPy and scikit-learn.

    python tools/reference/analysis_reference.py [--out tests/fixtures/analysis.safetensors]

x          [60, 12]   three clusters of 20 points, one of them elongated; float32
pca        [60, 3]    places along the first three principal axes (NumPy's SVD of the centred points, in double)
explained  [3]        their shares of the variance
wide       [12, 40]   fewer points than dimensions, for the other way to compute the same; wide_pca, wide_explained
targets    [60, 4]    noisy linear functions of x, and one that is not
ridge      [60, 4]    what scikit-learn's Ridge predicts for x, standardised, at l2 = 0.5 (its alpha is 60 * 0.5)
affinities [60, 60]   t-SNE's joint probabilities at perplexity 15 (scikit-learn's _joint_probabilities)

The constants hold what scikit-learn's exact t-SNE reaches on x at perplexity 15: kl from the principal axes, which is
where ours starts too, and kl_random, the mean over five random starts.
"""
import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.distance import squareform
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.manifold import TSNE
from sklearn.manifold._t_sne import _joint_probabilities
from sklearn.metrics import pairwise_distances

from fixture_io import FIXTURES, save_tensors

PERPLEXITY = 15


def pca(x, k):
    x = x.astype(np.float64)
    x = x - x.mean(0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    explained = s ** 2 / (s ** 2).sum()
    places = u[:, :k] * s[:k]
    theirs = PCA(k, svd_solver="full").fit(x)
    assert np.allclose(theirs.explained_variance_ratio_, explained[:k], atol=1e-12)
    return places, explained[:k]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "analysis.safetensors")
    args = parser.parse_args()

    rng = np.random.default_rng(4)
    centres = 1.5 * rng.normal(size=(3, 12))
    x = np.repeat(centres, 20, axis=0) + rng.normal(size=(60, 12))
    x[40:] += 2 * rng.normal(size=(20, 1)) * rng.normal(size=12)
    x = x.astype(np.float32)
    wide = rng.normal(size=(12, 40)).astype(np.float32) * np.linspace(3, 0.2, 40, dtype=np.float32)

    targets = (x @ rng.normal(size=(12, 4)) + rng.normal(size=(60, 4)) + 5).astype(np.float32)
    targets[:, 3] = np.sin(x[:, 0])
    z = (x - x.mean(0, dtype=np.float64)) / x.std(0, dtype=np.float64)
    ridge = Ridge(alpha=60 * 0.5).fit(z, targets.astype(np.float64)).predict(z)

    places, explained = pca(x, 3)
    wide_places, wide_explained = pca(wide, 3)
    # scikit-learn works in float32 there; squared distances as it takes them
    distances = pairwise_distances(x, squared=True, metric="euclidean")
    joint = squareform(_joint_probabilities(distances, PERPLEXITY, 0))
    divergences = [TSNE(perplexity=PERPLEXITY, method="exact", init="random", random_state=s).fit(x).kl_divergence_
                   for s in range(5)]
    kl = TSNE(perplexity=PERPLEXITY, method="exact", init="pca", random_state=0).fit(x).kl_divergence_
    print(f"scikit-learn's KL: {kl:.4f} from PCA, at random", " ".join(f"{d:.4f}" for d in divergences))
    save_tensors(args.out, {"x": x, "pca": places, "explained": explained, "wide": wide, "wide_pca": wide_places,
                            "wide_explained": wide_explained, "affinities": joint, "targets": targets,
                            "ridge": ridge},
                 constants={"kl": float(kl), "kl_random": float(np.mean(divergences)), "perplexity": PERPLEXITY})


if __name__ == "__main__":
    main()
