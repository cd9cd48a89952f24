"""Reference numbers for `src/roc.rs`: curves and areas of scikit-learn.

    pip install 'scikit-learn>=1.3'
    python scikit_learn.py > scikit_learn.json

The scores are whole numbers of the linear congruential generator in `insightface.py`, so that the Rust test
can make the same ones: genuine pairs first, each score moved up by `shift` if genuine and rounded down to
multiples of `step`.
"""

import json
import sys

import numpy as np
import sklearn
from sklearn.metrics import auc, average_precision_score, roc_curve


def scores(seed, genuine, impostor, shift, step):
    state = seed

    def draw():
        nonlocal state
        total = 0
        for _ in range(4):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            total += (state >> 33) % 65536
        return total

    same = [1] * genuine + [0] * impostor
    return same, [(draw() + shift * s) // step for s in same]


LISTS = {
    "no ties": dict(seed=1, genuine=60, impostor=90, shift=50000, step=1),
    "ties": dict(seed=2, genuine=400, impostor=500, shift=60000, step=6000),
    "many ties": dict(seed=3, genuine=3000, impostor=3000, shift=30000, step=60000),
    "two genuine pairs": dict(seed=4, genuine=2, impostor=5000, shift=70000, step=4000),
    "two impostor pairs": dict(seed=5, genuine=5000, impostor=2, shift=70000, step=4000),
    "one pair of each class": dict(seed=6, genuine=1, impostor=1, shift=0, step=1),
    "perfect": dict(seed=7, genuine=40, impostor=50, shift=400000, step=1000),
    "inverse": dict(seed=8, genuine=40, impostor=50, shift=-400000, step=1000),
    "without meaning": dict(seed=9, genuine=800, impostor=700, shift=0, step=3000),
    "all equal": dict(seed=10, genuine=30, impostor=70, shift=0, step=10**9),
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
    lists = []
    for name, numbers in LISTS.items():
        same, score = scores(**numbers)
        fpr, tpr, thresholds = roc_curve(same, score, drop_intermediate=False)
        assert np.isinf(thresholds[0])
        lists.append(
            {
                "name": name,
                "scores": numbers,
                "fpr": fpr.tolist(),
                "tpr": tpr.tolist(),
                # The first one, which accepts nothing, is infinite.
                "thresholds": thresholds[1:].tolist(),
                "auc": float(auc(fpr, tpr)),
                "average_precision": float(average_precision_score(same, score)),
            }
        )
    lines = ",\n  ".join(json.dumps(exact(of)) for of in lists)
    sys.stdout.write(f'{{"sklearn": "{sklearn.__version__}", "lists": [\n  {lines}\n]}}\n')


main()
