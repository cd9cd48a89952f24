"""Reference numbers for `src/insightface.rs`: the verification procedure of insightface.

    pip install numpy==1.24.4 scipy==1.9.2 scikit-learn==1.2.2      # Python 3.11
    python insightface.py > insightface.json

The procedure is that of `eval/verification.py` in insightface's arcface_torch (`evaluate`, `calculate_roc`,
`calculate_accuracy`, `calculate_val`, `calculate_val_far`), call by call in numpy, SciPy and scikit-learn.
Later versions of SciPy refuse repeated values in `interp1d(kind="slinear")`, which the false-accept rates of a
list practically always have; 1.9.2 is the last that takes them.

The embeddings come from whole numbers of a linear congruential generator, exact in f32, so that the Rust test
can make the same ones.
"""

import json
import sys

import numpy as np
import scipy
import sklearn
from scipy.interpolate import interp1d
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

FOLDS = 10
FAR_TARGET = 1e-3


def share_correct(threshold, dist, same):
    accepted = np.less(dist, threshold)
    true_accepts = np.sum(np.logical_and(accepted, same))
    true_rejects = np.sum(np.logical_and(np.logical_not(accepted), np.logical_not(same)))
    return float(true_accepts + true_rejects) / dist.size


def val_far(threshold, dist, same):
    accepted = np.less(dist, threshold)
    true_accepts = np.sum(np.logical_and(accepted, same))
    false_accepts = np.sum(np.logical_and(accepted, np.logical_not(same)))
    # Plain floats, so that a missing class is a ZeroDivisionError as in insightface.
    return float(true_accepts) / float(np.sum(same)), float(false_accepts) / float(np.sum(np.logical_not(same)))


def accuracies(dist, same):
    thresholds = np.arange(0, 4, 0.01)
    folds = []
    for train, test in KFold(n_splits=FOLDS, shuffle=False).split(np.arange(len(same))):
        correct = np.array([share_correct(t, dist[train], same[train]) for t in thresholds])
        best = thresholds[np.argmax(correct)]
        folds.append((share_correct(best, dist[test], same[test]), best, len(test)))
    return folds


def vals(dist, same):
    grid = np.arange(0, 4, 0.001)
    folds = []
    for train, test in KFold(n_splits=FOLDS, shuffle=False).split(np.arange(len(same))):
        far = np.array([val_far(t, dist[train], same[train])[1] for t in grid])
        threshold = interp1d(far, grid, kind="slinear")(FAR_TARGET) if np.max(far) >= FAR_TARGET else 0.0
        folds.append((*val_far(threshold, dist[test], same[test]), float(threshold)))
    return folds


def evaluate(embeddings, pairs):
    """`embeddings`: float64 [images, dim]; `pairs`: rows of a, b, same."""
    a, b, same = np.array(pairs).T
    same = same.astype(bool)
    unit = normalize(embeddings)
    # In insightface the embeddings of pair i are rows 2i and 2i + 1.
    rows = unit[np.stack([a, b], 1).ravel()]
    dist = np.sum(np.square(np.subtract(rows[0::2], rows[1::2])), 1)
    folds = accuracies(dist, same)
    accuracy = np.array([fold[0] for fold in folds])
    result = {
        # All bits of all distances: their sum as whole numbers modulo 2^64.
        "distances": f"{int(np.sum(dist.view(np.uint64), dtype=np.uint64)):016x}",
        "accuracy": float(np.mean(accuracy)),
        "deviation": float(np.std(accuracy)),
        "folds": [{"accuracy": f[0], "threshold": float(f[1]), "pairs": f[2]} for f in folds],
    }
    try:
        val, far, thresholds = np.array(vals(dist, same)).T
        result["val"] = {
            "target": FAR_TARGET,
            "val": float(np.mean(val)),
            "deviation": float(np.std(val)),
            "far": float(np.mean(far)),
            "thresholds": thresholds.tolist(),
        }
    except ZeroDivisionError:
        result["val"] = None
    return result


class Generator:
    def __init__(self, seed):
        self.state = seed

    def bits(self):
        """31 bits."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 33

    def below(self, n):
        return self.bits() % n

    def draw(self):
        """Nearly normal, from -131,070 to 131,070."""
        return sum(self.bits() % 65536 for _ in range(4)) - 131070


def people(seed, people, per_person, dim, own, noise, step, pairs):
    """Images of people: `own` parts of what is the person's, `noise` parts of what is the image's, rounded
    down to multiples of `step`; and pairs of them, half of them genuine on average."""
    g = Generator(seed)
    centres = [[g.draw() for _ in range(dim)] for _ in range(people)]
    images = []
    for person in range(people):
        for _ in range(per_person):
            row = [(own * c + noise * g.draw()) // step for c in centres[person]]
            if not any(row):
                row[0] = 1
            images.append(row)
    list_of_pairs = []
    for _ in range(pairs):
        same = g.below(2)
        a = g.below(people)
        b = a if same else (a + 1 + g.below(people - 1)) % people
        i = g.below(per_person)
        j = (i + 1 + g.below(per_person - 1)) % per_person
        list_of_pairs.append((a * per_person + i, b * per_person + j, same))
    return images, list_of_pairs


def corners(genuine, impostor, near, far):
    """Ten folds of `genuine` and `impostor` pairs each, of which `near` impostor pairs have squared distance 2
    and the others that to image `far`; every second genuine pair has distance 2, the others 0."""
    images = [[1, 0], [-1, 0], [0, 1], [-1, 1]]
    fold = [(0, 2 * (i % 2), 1) for i in range(genuine)]
    fold += [(0, 2 if i < near else far, 0) for i in range(impostor)]
    return images, fold * FOLDS


CASES = {
    "overlapping classes": ("people", dict(seed=1, people=40, per_person=5, dim=64, own=5, noise=9, step=1, pairs=2000)),
    "512 numbers": ("people", dict(seed=2, people=30, per_person=4, dim=512, own=3, noise=8, step=1, pairs=600)),
    "300 numbers, separated": ("people", dict(seed=3, people=50, per_person=3, dim=300, own=9, noise=4, step=1, pairs=500)),
    "folds of unequal size": ("people", dict(seed=4, people=60, per_person=4, dim=13, own=6, noise=5, step=1, pairs=1007)),
    "one or two pairs in a fold": ("people", dict(seed=12, people=6, per_person=3, dim=3, own=6, noise=5, step=1, pairs=13)),
    "discrete embeddings": ("people", dict(seed=6, people=30, per_person=6, dim=4, own=5, noise=4, step=600000, pairs=3001)),
    "discrete in seven dimensions": ("people", dict(seed=7, people=25, per_person=6, dim=7, own=5, noise=4, step=500000, pairs=1500)),
    "scores without meaning": ("people", dict(seed=8, people=40, per_person=5, dim=16, own=0, noise=1, step=1, pairs=1000)),
    "target out of reach": ("corners", dict(genuine=10, impostor=10, near=0, far=1)),
    "target reached at the end": ("corners", dict(genuine=10, impostor=1000, near=1, far=1)),
    "target reached over a range": ("corners", dict(genuine=10, impostor=1000, near=1, far=3)),
    "target between two thresholds": ("corners", dict(genuine=10, impostor=1001, near=1, far=3)),
}


def exact(value):
    """Floats in hexadecimal: a JSON reader may be off in the last digit of a decimal."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, list):
        return [exact(each) for each in value]
    if isinstance(value, dict):
        return {key: exact(each) for key, each in value.items()}
    return value


def main():
    cases = []
    for name, (kind, numbers) in CASES.items():
        images, pairs = {"people": people, "corners": corners}[kind](**numbers)
        embeddings = np.array(images, dtype=np.float64)
        assert np.array_equal(embeddings, embeddings.astype(np.float32)), name
        cases.append({"name": name, kind: numbers, "expected": evaluate(embeddings, pairs)})
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__}
    json.dump(exact({**versions, "cases": cases}), sys.stdout, indent=1)
    print()


main()
