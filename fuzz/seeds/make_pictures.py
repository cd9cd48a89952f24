"""Writes the seeds of the target `picture`: a small JPEG of each kind, and other formats.

    python make_pictures.py

Run with Pillow 13.
"""

import random
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent / "picture"


def main():
    FOLDER.mkdir(exist_ok=True)
    draw = random.Random(1)
    pixels = bytes(min(255, x * 5 + y * 3 + draw.randrange(40)) for y in range(40) for x in range(72))
    image = Image.frombytes("RGB", (24, 40), pixels)
    for subsampling, name in enumerate(["444", "422", "420"]):
        image.save(FOLDER / f"{name}.jpg", quality=70, subsampling=subsampling)
    image.convert("L").save(FOLDER / "grey.jpg", quality=70)
    image.convert("CMYK").save(FOLDER / "cmyk.jpg", quality=70)
    image.save(FOLDER / "progressive.jpg", quality=70, progressive=True)
    image.save(FOLDER / "restarts.jpg", quality=70, restart_marker_blocks=2)
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(FOLDER / "turned.jpg", quality=70, exif=turned)
    for ending in ["png", "webp", "bmp", "ppm"]:
        image.resize((6, 10)).save(FOLDER / f"small.{ending}")


main()
