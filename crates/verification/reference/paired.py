"""Writes paired.json beside this file: what scipy 1.17.1 (numpy 2.4.6) says of the statistics in interval.rs and
paired.rs. Run it as `python3 paired.py` to write it anew."""

import json
import pathlib

import numpy as np
from scipy import stats

generator = np.random.default_rng(5)
t_tests = []
for folds in [2, 3, 5, 10, 10, 11]:
    a = np.round(0.9 + 0.02 * generator.standard_normal(folds), 4)
    b = np.round(a - 0.01 + 0.015 * generator.standard_normal(folds), 4)
    test = stats.ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    t_tests.append({"a": list(a), "b": list(b), "difference": float(np.mean(a - b)), "p": test.pvalue,
                    "low": interval.low, "high": interval.high})
mcnemar = [[0, 0], [1, 0], [0, 6], [3, 9], [5, 5], [17, 4], [100, 140], [1000, 900], [300_000, 301_500]]
points = [(0.0, 3), (0.5, 1), (-1.3, 2), (2.0, 9), (3.25, 9), (-12.0, 9), (1.96, 1000)]
numbers = {
    "student_p": [[t, freedom, 2 * stats.t.sf(abs(t), freedom)] for t, freedom in points],
    "t_tests": t_tests,
    "mcnemar": [[b, c, stats.binomtest(b, b + c).pvalue if b + c else 1.0] for b, c in mcnemar],
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(numbers, indent=1) + "\n")
