"""Principal components and whitening of small sets of rows, by numpy and scikit-learn.

Writes pca.json beside this file: python crates/embeddings/reference/pca.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.decomposition import PCA


def signed(components):
    """Components whose largest coordinate is positive."""
    largest = np.argmax(np.abs(components), axis=1)
    return components * np.sign(components[np.arange(len(components)), largest])[:, None]


def case(name, rows, other, whitened):
    rows, other = rows.astype(np.float32), other.astype(np.float32)
    wide = rows.astype(np.float64)
    mean = wide.mean(axis=0)
    values, vectors = np.linalg.eigh((wide - mean).T @ (wide - mean) / (len(rows) - 1))
    rank = np.linalg.matrix_rank(wide - mean)
    variances = values[::-1][:rank]
    components = signed(vectors.T[::-1][:rank])
    pca = PCA(n_components=whitened, whiten=True, svd_solver="full").fit(wide)
    sign = np.sign(np.sum(signed(pca.components_) * pca.components_, axis=1))
    return {
        "name": name,
        "dim": rows.shape[1],
        "rows": rows.ravel().tolist(),
        "other": other.ravel().tolist(),
        "mean": mean.tolist(),
        "total": float(values.sum()),
        "variances": variances.tolist(),
        "components": components.ravel().tolist(),
        "projected": ((other - mean) @ components.T).ravel().tolist(),
        "whitened_components": whitened,
        "whitened": (pca.transform(other.astype(np.float64)) * sign).ravel().tolist(),
    }


def main():
    draw = np.random.default_rng(1)
    scales = np.array([5.0, 2.0, 1.0, 0.3, 0.05])
    turn = np.linalg.qr(draw.normal(size=(5, 5)))[0]
    plain = draw.normal(size=(24, 5)) * scales @ turn
    wide = draw.normal(size=(4, 7))
    # Of whole numbers, which f32 holds exactly.
    plane = draw.integers(-9, 10, size=(12, 2)) @ np.array([[1, 2, 0, -1, 3], [0, 1, -2, 1, 1]])
    cases = [
        case("more rows than numbers", plain[:20], plain[20:], 4),
        case("a mean far from zero", plain[:20] + 1000.0, plain[20:] + 1000.0, 4),
        case("fewer rows than numbers", wide, draw.normal(size=(2, 7)), 3),
        case("rows in a plane", plane, draw.normal(size=(2, 5)), 2),
    ]
    script = f"reference/pca.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    Path(__file__).with_suffix(".json").write_text(json.dumps({"from": script, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
