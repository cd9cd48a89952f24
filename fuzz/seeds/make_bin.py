"""Writes bin/*.bin: one small set of pairs in every way that Python 2 and 3 with numpy pickle it.

Run with each: python2.7 make_bin.py; python3 make_bin.py. The images are 2 x 2 pixels of synthetic content,
as PNM; between them they hold the bytes that the text codings of protocols 0 to 2 escape.
"""

import hashlib
import pickle
import sys

import numpy as np


def pnm(pixels):
    assert len(pixels) == 12
    return b"P6\n2 2\n255\n" + bytes(bytearray(pixels))


control = pnm([0, 10, 13, 39, 34, 92, 26, 255, 128, 127, 117, 85])
escapes = pnm(bytearray(b"\\u00ffx'\"\\\\n"))
third, fourth = pnm(range(40, 160, 10)), pnm(range(255, 243, -1))
images = [control, escapes, third, fourth, third, control]
flags = [True, False, True]

sets = {
    "bytes": (images, flags),
    "arrays": ([np.frombuffer(image, np.uint8) for image in images], flags),
    "scalars": ([np.array(bytearray(image), np.uint8) for image in images], [np.bool_(flag) for flag in flags]),
    "flags": (images, np.array(flags)),
    "tuples": [tuple(images), tuple(int(flag) for flag in flags)],
}
python = sys.version_info[0]
if python == 3:
    # What other tools have pickled; Python 2 wrote none of these.
    sets["bytearrays"] = ([bytearray(image) for image in images], flags)
    sets["void"] = ([np.void(image) for image in images], flags)
    sets["integers"] = (images, np.array([int(flag) for flag in flags]))
    sets["big-endian"] = (images, np.array([int(flag) for flag in flags], ">i4"))
for name, content in sets.items():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with open("bin/python%d-%s-%d.bin" % (python, name, protocol), "wb") as file:
            pickle.dump(content, file, protocol)
if python == 2:
    import cPickle

    with open("bin/python2-c-bytes-0.bin", "wb") as file:
        cPickle.dump((images, flags), file, 0)

fingerprint = hashlib.sha256()
for pair, same in enumerate(flags):
    for image in images[2 * pair : 2 * pair + 2]:
        fingerprint.update(hashlib.sha256(image).digest())
    fingerprint.update(b"\x01" if same else b"\x00")
print(fingerprint.hexdigest())
