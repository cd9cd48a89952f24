"""The probabilities, the divergence and the gradient of t-SNE for a few points, by scipy and scikit-learn.

Writes tsne.json beside this file: python crates/embeddings/reference/tsne.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.optimize import brentq
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold._t_sne import _kl_divergence

PERPLEXITY = 4.0


def conditional(distances):
    """The probabilities of the neighbours of one point, at the precision that gives the perplexity."""

    def probabilities(log_precision):
        weights = np.exp(-np.exp(log_precision) * (distances - distances.min()))
        return weights / weights.sum()

    def excess(log_precision):
        p = probabilities(log_precision)
        p = p[p > 0]
        return -np.sum(p * np.log(p)) - np.log(PERPLEXITY)

    return probabilities(brentq(excess, -20, 20, xtol=1e-14))


def main():
    draw = np.random.default_rng(2)
    rows = draw.normal(size=(18, 6)).astype(np.float32)
    n = len(rows)
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    distances = squareform(pdist(units, "sqeuclidean"))
    joint = np.zeros((n, n))
    for i in range(n):
        others = np.arange(n) != i
        joint[i, others] = conditional(distances[i, others])
    joint = (joint + joint.T) / (2 * n)
    points = draw.normal(size=(n, 2)).astype(np.float32)
    divergence, gradient = _kl_divergence(points.ravel().astype(np.float64), squareform(joint, checks=False), 1, n, 2)
    text = json.dumps(
        {
            "from": f"reference/tsne.py, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}",
            "dim": rows.shape[1],
            "rows": rows.ravel().tolist(),
            "perplexity": PERPLEXITY,
            "joint": joint.ravel().tolist(),
            "points": points.tolist(),
            "divergence": float(divergence),
            "gradient": gradient.reshape(n, 2).tolist(),
        },
        separators=(",", ":"),
    )
    Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
