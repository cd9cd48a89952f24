"""Numbers of scikit-image and OpenCV for the tests of warp.rs: writes warp.json beside this file.

    python3 -m venv venv
    venv/bin/pip install numpy==2.4.6 scikit-image==0.26.0 opencv-python-headless==5.0.0
    venv/bin/python warp.py

The transform is scikit-image's SimilarityTransform and the warp is cv2.warpAffine with a border of 0, as in
insightface's eval_ijbc.py.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from skimage.transform import SimilarityTransform

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def template(height, width):
    scale = height / 112
    points = TEMPLATE * scale
    points[:, 0] += width / 2 - 56 * scale
    return points


def texture(width, height):
    y, x, channel = np.mgrid[:height, :width, :3]
    return ((x * x + 3 * y * y + 7 * x * y + 50 * channel) // 16 % 256).astype(np.uint8)


def main():
    random = np.random.default_rng(3)
    cases = []
    # Width, height, size of the result, shrink, angle, where the nose is.
    for width, height, out, shrink, angle, nose in [
        (130, 120, (112, 112), 1.0, 0.0, (60.0, 70.0)),
        (180, 160, (112, 112), 1.3, 0.5, (90.0, 80.0)),
        (80, 90, (112, 96), 0.5, -0.3, (41.0, 42.0)),
        (70, 60, (128, 128), 0.4, 2.5, (30.0, 33.0)),
        (60, 60, (56, 56), 1.4, -1.0, (5.0, 50.0)),
    ]:
        points = template(*out)
        turn = shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        landmarks = (points - points[2]) @ turn.T + nose + random.normal(size=(5, 2)) * shrink
        landmarks = np.round(landmarks, 3)
        matrix = SimilarityTransform.from_estimate(landmarks, points).params[:2]
        warped = cv2.warpAffine(texture(width, height), matrix, out[::-1], borderValue=0.0)
        step = 53
        cases.append(
            {
                "width": width,
                "height": height,
                "out_height": out[0],
                "out_width": out[1],
                "landmarks": landmarks.flatten().tolist(),
                "matrix": matrix.flatten().tolist(),
                "step": step,
                "pixels": warped.reshape(-1, 3)[::step].flatten().tolist(),
            }
        )
    numbers = {"cases": cases}
    Path(__file__).with_name("warp.json").write_text(json.dumps(numbers, separators=(",", ":")) + "\n")


main()
