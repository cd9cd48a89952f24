"""CMC, average precision and open-set rates of a small gallery, computed independently of facegrad.

Writes identification.json beside this file: the data, as whole numbers, and what numpy and scikit-learn make of
it. Embeddings are drawn until no two different scores of a probe are nearer than 1e-6, so that single precision
ranks them alike; some gallery images are repeated, so that there are exact ties.

Needs numpy and scikit-learn (made with 2.4.6 and 1.9.1):
    python identification.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

DIM, PEOPLE, GALLERY, PROBES = 8, 20, 60, 300


def draw(seed):
    rng = np.random.default_rng(seed)
    centres = rng.integers(-9, 10, (2 * PEOPLE, DIM))

    def images(people):
        return centres[people] + rng.integers(-4, 5, (len(people), DIM))

    gallery_of = np.concatenate([np.arange(PEOPLE), rng.integers(0, PEOPLE, GALLERY - PEOPLE)])
    probes_of = rng.integers(0, 2 * PEOPLE, PROBES)
    gallery, probes = images(gallery_of), images(probes_of)
    # The same image under two names.
    for copy, original in [(25, 3), (26, 4), (27, 4), (40, 19)]:
        gallery[copy] = gallery[original]
    return gallery, gallery_of, probes, probes_of


def cosines(gallery, probes):
    # Element by element from exact whole numbers, so that equal images have equal scores.
    products = probes @ gallery.T
    return products / np.sqrt((gallery**2).sum(1)) / np.sqrt((probes**2).sum(1))[:, None]


def well_separated(scores):
    gaps = np.diff(np.sort(scores, axis=1), axis=1)
    return gaps[gaps > 0].min() > 1e-6


seed = next(s for s in range(1000) if well_separated(cosines(*[draw(s)[i] for i in (0, 2)])))
gallery, gallery_of, probes, probes_of = draw(seed)
scores = cosines(gallery, probes)
by_person = np.stack([scores[:, gallery_of == person].max(axis=1) for person in range(PEOPLE)], axis=1)
mated = probes_of < PEOPLE

# A person with the score of the mate ranks before it.
own = by_person[mated, probes_of[mated]]
ranks = (by_person[mated] >= own[:, None]).sum(axis=1)
precision = [average_precision_score(gallery_of == of, row) for of, row in zip(probes_of[mated], scores[mated])]

open_set = []
strangers = by_person[~mated].max(axis=1)
for target in (0.1,):
    # Every score is tried as a threshold; the lowest allowed one misses the fewest.
    candidates = np.concatenate([own, strangers])
    allowed = [t for t in candidates if (strangers >= t).mean() <= target]
    threshold = min(allowed)
    open_set.append(
        {
            "target": target,
            "fpir": float((strangers >= threshold).mean()),
            "fnir": float(1 - ((ranks == 1) & (own >= threshold)).mean()),
            "fnir_any_rank": float((own < threshold).mean()),
        }
    )

result = {
    "dim": DIM,
    "gallery": gallery.ravel().tolist(),
    "gallery_of": gallery_of.tolist(),
    "probes": probes.ravel().tolist(),
    "probes_of": probes_of.tolist(),
    "cmc": [float((ranks <= rank).mean()) for rank in range(1, PEOPLE + 1)],
    "average_precision": [float(value) for value in precision],
    "mean_average_precision": float(np.mean(precision)),
    "open_set": open_set,
}
text = json.dumps(result, separators=(",", ":"))
Path(__file__).with_suffix(".json").write_text(text + "\n")
print(seed, mated.sum(), (~mated).sum(), result["cmc"][:5], result["mean_average_precision"], open_set)
