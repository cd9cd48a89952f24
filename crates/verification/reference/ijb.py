"""Numbers of insightface's IJB procedure for the tests of the room: writes ijb.json beside this file.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scikit-learn==1.9.1
    venv/bin/python ijb.py

Each function follows the function of the same name in insightface, recognition/arcface_torch/eval_ijbc.py and
recognition/_evaluation_/ijb/ijb_1n.py, step by step, on a benchmark small enough to be read.
"""

import json
import math
from pathlib import Path

import numpy as np
from sklearn.metrics import auc, roc_curve
from sklearn.preprocessing import normalize

FARS = [10**-6, 10**-5, 10**-4, 10**-3, 10**-2, 10**-1]


def image2template_feature(features, templates, medias):
    """eval_ijbc.py: the mean inside a medium, the sum over media, unit length."""
    unique_templates = np.unique(templates)
    pooled = np.zeros((len(unique_templates), features.shape[1]))
    for place, template in enumerate(unique_templates):
        chosen = templates == template
        of_media = [
            features[chosen & (medias == media)].mean(axis=0) for media in np.unique(medias[chosen])
        ]
        pooled[place] = np.sum(of_media, axis=0)
    return normalize(pooled), unique_templates


def verification(template_features, unique_templates, p1, p2):
    """eval_ijbc.py: the cosine of each pair."""
    place = {template: i for i, template in enumerate(unique_templates)}
    first, second = ([place[t] for t in p] for p in (p1, p2))
    return np.sum(template_features[first] * template_features[second], -1)


def nearest(label, score, targets):
    """eval_ijbc.py: the point of the curve, flipped, whose FPR is nearest to each target; and the area."""
    fpr, tpr, _ = roc_curve(label, score)
    area = auc(fpr, tpr)
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)
    at = [min(zip(abs(fpr - target), range(len(fpr))))[1] for target in targets]
    return fpr[at].tolist(), tpr[at].tolist(), area


def evaluation(query, gallery, mask):
    """ijb_1n.py: `mask` is the place of the person of each query in the merged gallery."""
    similarity = query @ gallery.T
    order = np.argsort(-similarity)
    top = [float(np.mean([mask[i] in order[i, :k] for i in range(len(query))])) for k in (1, 5, 10)]
    rows = np.arange(len(query))
    positive = similarity[rows, mask].copy()
    similarity[rows, mask] = -2.0
    negative = np.sort(similarity[similarity > -2.0])[::-1]
    thresholds = [negative[math.ceil(len(query) * far) - 1] for far in (0.01, 0.1)]
    recall = [float(np.sum(positive > threshold) / len(query)) for threshold in thresholds]
    return top, recall, [float(threshold) for threshold in thresholds]


def benchmark(random):
    """People 0 to 23, the first half in gallery 1; a template each there and four as probes."""
    people, dim = 24, 6
    centres = random.normal(size=(people, dim))
    subject = np.concatenate([np.arange(people), np.tile(np.arange(people), 4)])
    # The numbers of the templates are neither dense nor in the order of the list.
    numbers = random.permutation(len(subject)) * 3 + 5
    rows = []
    for template, person in zip(numbers, subject):
        for media in range(random.integers(1, 4)):
            shift = random.normal(size=dim) * 0.3
            for _ in range(random.integers(1, 4)):
                embedding = (centres[person] + shift + random.normal(size=dim) * 0.6) * random.uniform(0.5, 3)
                rows.append((template, 100 + media, np.round(embedding * 64) / 64, random.integers(100, 1000)))
    random.shuffle(rows)
    return numbers, subject, people, rows


def main():
    random = np.random.default_rng(7)
    numbers, subject, people, rows = benchmark(random)
    templates, medias = (np.array([row[i] for row in rows]) for i in (0, 1))
    embeddings = np.array([row[2] for row in rows], dtype=np.float32)
    scores = np.array([row[3] / 1000 for row in rows], dtype=np.float32)

    gallery, probes = range(people), range(people, len(subject))
    pairs = [(a, b) for a in gallery for b in probes]
    p1, p2 = ([numbers[pair[i]] for pair in pairs] for i in (0, 1))
    label = np.array([int(subject[a] == subject[b]) for a, b in pairs])

    def csv(places):
        lines = [f"{numbers[place]},{subject[place]},img/{place}.jpg,1,2,3,4\n" for place in places]
        return "TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n" + "".join(lines)

    files = {
        "media": "".join(f"{i}.jpg {t} {m}\n" for i, (t, m) in enumerate(zip(templates, medias))),
        "faces": "".join(f"{i}.jpg 1 2 3 4 5 6 7 8 9 10 {row[3] / 1000}\n" for i, row in enumerate(rows)),
        "pairs": "".join(f"{a} {b} {same}\n" for a, b, same in zip(p1, p2, label)),
        "G1": csv(range(people // 2)),
        "G2": csv(range(people // 2, people)),
        "probes": csv(probes),
    }

    cases = []
    for use_norm_score in (True, False):
        for use_detector_score in (True, False):
            features = embeddings
            if not use_norm_score:
                features = features / np.sqrt(np.sum(features**2, -1, keepdims=True))
            if use_detector_score:
                features = features * scores[:, np.newaxis]
            pooled, unique = image2template_feature(features, templates, medias)
            _, tpr, area = nearest(label, verification(pooled, unique, p1, p2), FARS)

            place = {template: i for i, template in enumerate(unique)}
            # np.unique puts the gallery in the order of the numbers of its templates.
            merged = sorted(gallery, key=lambda i: numbers[i])
            mask = [[subject[i] for i in merged].index(subject[probe]) for probe in probes]
            take = lambda places: pooled[[place[numbers[i]] for i in places]]
            top, recall, threshold = evaluation(take(probes), take(merged), mask)
            cases.append(
                {
                    "use_norm_score": use_norm_score,
                    "use_detector_score": use_detector_score,
                    "first_template": pooled[0].tolist(),
                    "auc": area,
                    "tpr_at_nearest_fpr": tpr,
                    "top": top,
                    "recall": recall,
                    "threshold": threshold,
                }
            )

    curves = []
    for genuine, impostor, levels in [(30, 200, 1024), (30, 200, 16), (3, 300, 1024), (200, 20, 256)]:
        drawn = [
            np.round((random.normal(size=n) * 0.2 + shift) * levels) / levels
            for n, shift in ((genuine, 0.5), (impostor, 0.2))
        ]
        targets = [0.5, 0.3, 0.1, 0.07, 0.03, 0.0125, 0.01, 0.006, 0.003, 0.001, 1e-6]
        label = [1] * genuine + [0] * impostor
        fpr, tpr, area = nearest(label, np.concatenate(drawn), targets)
        curves.append(
            {
                "genuine": drawn[0].tolist(),
                "impostor": drawn[1].tolist(),
                "targets": targets,
                "fpr": fpr,
                "tpr": tpr,
                "auc": area,
            }
        )

    numbers_of = {
        "files": files,
        "embeddings": [row.tolist() for row in embeddings],
        "cases": cases,
        "curves": curves,
    }
    Path(__file__).with_name("ijb.json").write_text(json.dumps(numbers_of, separators=(",", ":")) + "\n")


main()
