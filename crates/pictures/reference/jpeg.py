"""JPEGs in the variants that cameras and programs write, and what libjpeg-turbo makes of them, for the tests of
decode.rs.

    python3 -m venv venv
    venv/bin/pip install numpy==2.4.6 pillow==13.0.0
    venv/bin/python jpeg.py > jpeg.json

Pillow 13.0.0 decodes with libjpeg-turbo 3.2.0: its accurate integer transform and "fancy" upsampling, which OpenCV
uses too.
"""

import hashlib
import io
import json

import numpy
from PIL import Image

VARIANTS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "4:2:0 coarse": {"subsampling": 2, "quality": 25},
    "4:4:4 fine": {"subsampling": 0, "quality": 98},
    "4:2:0 own tables": {"subsampling": 2, "optimize": True},
    "4:2:0 restarts": {"subsampling": 2, "restart_marker_blocks": 2},
    "4:2:2 restarts": {"subsampling": 1, "restart_marker_rows": 1},
    "progressive": {"subsampling": 2, "progressive": True},
}


def picture(width, height, seed):
    """Waves and a little noise, bright and dark enough that some values are cut off."""
    noise = numpy.random.default_rng(seed).normal(0, 12, (height, width, 3))
    y, x = numpy.mgrid[:height, :width]
    waves = [numpy.sin(x / 5 + seed), numpy.cos(y / 4), numpy.sin((x + y) / 7)]
    return Image.fromarray(numpy.clip(128 + 150 * numpy.stack(waves, -1) + noise, 0, 255).astype(numpy.uint8))


def stored(name, image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 80} | options)
    decoded = Image.open(file).convert("RGB")
    pixels = numpy.asarray(decoded)
    return {
        "name": name,
        "jpeg": file.getvalue().hex(),
        "size": [decoded.width, decoded.height],
        "mean": pixels.mean((0, 1)).round(3).tolist(),
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }


def main():
    sizes = [(32, 32), (37, 21), (16, 45)]
    files = [stored(name, picture(*sizes[i % 3], i), **options) for i, (name, options) in enumerate(VARIANTS.items())]
    files.append(stored("grey", picture(35, 18, 20).convert("L")))
    files.append(stored("cmyk", picture(24, 20, 21).convert("CMYK")))
    print(json.dumps(files, indent=1))


if __name__ == "__main__":
    main()
