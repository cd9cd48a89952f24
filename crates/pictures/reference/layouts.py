"""JPEGs in every layout, and what libjpeg makes of them, for the tests of crates/pictures/src/jpeg.

    apt-get install libjpeg-turbo-progs python3-pil python3-numpy
    /usr/bin/python3 layouts.py layouts

Written with cjpeg, jpegtran and djpeg of libjpeg-turbo 2.1.5 and with Pillow 9.4.0, numpy 1.24.2. The pictures are waves
and noise. NAME-KIND.jpg is a file, NAME.ppm what all kinds of NAME are decoded to: `djpeg` of the first kind, with its
accurate integer transform and "fancy" upsampling; the others are checked to give the same. Four colours become RGB as in
Pillow.
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy
from PIL import Image

# The samples of the components across and down, as `cjpeg -sample` has them.
SAMPLINGS = (
    "1x1 2x1 1x2 2x2 4x1 1x4 1x3 3x1 2x3 3x2 4x2 2x4 4x4 3x3 2x1,1x2 2x2,1x2,2x1 1x1,2x2 1x1,1x1,2x2 1x1,2x1 4x1,2x1 "
    "4x4,2x2 1x2,1x1,2x1"
).split()
# More blocks than one unit may have: these are written with one scan a component only.
LARGE_UNITS = ["4x4", "3x3", "4x4,2x2"]
SIZE = (33, 25)
ODD_SIZES = [(1, 1), (2, 3), (5, 7), (8, 8), (17, 9), (9, 34), (40, 24)]
KINDS = {
    "baseline": [],
    "progressive": ["-progressive"],
    "scans": ["-scans", "SCANS"],
    "restarts": ["-restart", "2B"],
    "scans-restarts": ["-scans", "SCANS", "-restart", "5B"],
    "progressive-restarts": ["-progressive", "-restart", "1"],
}


def picture(width, height, seed):
    noise = numpy.random.default_rng(seed).normal(0, 8, (height, width, 3))
    y, x = numpy.mgrid[:height, :width]
    waves = [numpy.sin(x / 5 + seed), numpy.cos(y / 4), numpy.sin((x + y) / 7)]
    return numpy.clip(128 + 110 * numpy.stack(waves, -1) + noise, 0, 255).astype(numpy.uint8)


def ppm(pixels):
    height, width = pixels.shape[:2]
    return b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()


def run(command, data):
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def decoded(jpeg):
    """What libjpeg decodes `jpeg` to, as RGB."""
    image = Image.open(io.BytesIO(run(["djpeg", "-pnm"], jpeg)))
    return ppm(numpy.asarray(image.convert("RGB")))


def keep(folder, name, files, expected):
    for kind, file in files.items():
        (folder / f"{name}-{kind}.jpg").write_bytes(file)
    (folder / f"{name}.ppm").write_bytes(expected)


def keep_decoded(folder, name, files):
    results = {decoded(file) for file in files.values()}
    assert len(results) == 1, name
    keep(folder, name, files, results.pop())


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    scans = folder / "scans.txt"
    scans.write_text("0;\n1;\n2;\n")

    def coded(options, source):
        options = [str(scans) if option == "SCANS" else option for option in options]
        return run(["cjpeg", *options], source)

    def layout(sampling, size, kinds):
        source = ppm(picture(*size, size[0]))
        options = ["-sample", sampling]
        name = f"{sampling.replace(',', '_')}-{size[0]}x{size[1]}"
        keep_decoded(folder, name, {kind: coded([*options, *KINDS[kind]], source) for kind in kinds})

    for sampling in SAMPLINGS:
        kinds = ["scans", "scans-restarts"] if sampling in LARGE_UNITS else ["baseline", "progressive", "scans", "restarts"]
        layout(sampling, SIZE, kinds)
    for sampling in ["1x1", "2x1", "1x2", "2x2", "1x1,2x2"]:
        for size in ODD_SIZES:
            layout(sampling, size, ["baseline", "progressive"])
    layout("2x2", (31, 18), KINDS)

    source = ppm(picture(21, 14, 1))
    for name, options in {"grey": ["-grayscale"], "grey-2x2": ["-grayscale", "-sample", "2x2"], "rgb": ["-rgb"]}.items():
        kinds = ["baseline", "progressive", "restarts"]
        keep_decoded(folder, name, {kind: coded([*options, *KINDS[kind]], source) for kind in kinds})
    source = coded(["-sample", "2x1"], ppm(picture(32, 16, 2)))
    for turn in ["-rotate 90", "-rotate 180", "-rotate 270", "-transpose"]:
        name = "turned-" + turn.split("-")[1].replace(" ", "")
        options = {"baseline": [], "progressive": ["-progressive"]}
        keep_decoded(
            folder, name, {kind: run(["jpegtran", *turn.split(), *more], source) for kind, more in options.items()}
        )
    # Pillow writes four colours, with Adobe's word that they are CMYK (0); 2 makes the first three YCbCr.
    for name, transform in {"cmyk": 0, "ycck": 2}.items():
        files = {}
        for kind, options in {"baseline": {}, "progressive": {"progressive": True}}.items():
            file = io.BytesIO()
            noise = picture(22, 15, 4)[..., :1]
            inks = numpy.concatenate([picture(22, 15, 3), noise // 2], 2)
            Image.fromarray(inks, "CMYK").save(file, "JPEG", quality=85, **options)
            data = bytearray(file.getvalue())
            at = data.index(b"Adobe") + 11
            assert data[at] == 0
            data[at] = transform
            files[kind] = bytes(data)
        results = {ppm(numpy.asarray(Image.open(io.BytesIO(file)).convert("RGB"))) for file in files.values()}
        assert len(results) == 1, name
        keep(folder, name, files, results.pop())
    scans.unlink()


if __name__ == "__main__":
    main()
