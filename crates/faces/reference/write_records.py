"""Writes the RecordIO and tar files beside it with MXNet and webdataset: what a test of crates/faces reads.

Images are no images but bytes of a known pattern, some with the magic number of RecordIO in them, at which the
records are cut into parts. Run with MXNet 1.9.1 (numpy 1.23.5, Python 3.8.18) and webdataset 0.2.100.
"""

import os
import struct

import numpy
import webdataset
from mxnet import recordio

MAGIC = struct.pack("<I", 0xCED7230A)
os.chdir(os.path.dirname(os.path.abspath(__file__)))


def content(number):
    pattern = bytes((number * 31 + at * 7) % 256 for at in range(20 + number))
    at = [0, 0, 8, 5][number % 4]
    return pattern if number % 4 == 0 else pattern[:at] + MAGIC * number + pattern[at:]


def write(name, records):
    file = recordio.MXIndexedRecordIO(name + ".idx", name + ".rec", "w")
    for key, label, image in records:
        flag = 0 if isinstance(label, float) else len(label)
        label = label if flag == 0 else numpy.array(label, dtype=numpy.float32)
        file.write_idx(key, recordio.pack(recordio.IRHeader(flag, label, key, 0), image))
    file.close()


LABELS = [0, 0, 1, 1, 1, 2]
# As insightface's face2rec2.py does: images with a second label, then the header record and the identities.
images = [(key, [float(label), 1.0], content(key)) for key, label in enumerate(LABELS, 1)]
ranges = [(1, 3), (3, 6), (6, 7)]
identities = [(7 + at, [float(first), float(end)], b"") for at, (first, end) in enumerate(ranges)]
write("insightface", [*images, (0, [7.0, 10.0], b""), *identities])
# As MXNet's im2rec does: one label in the header, and keys in the order of a shuffled list.
write("im2rec", [(key, float(LABELS[key]), content(key)) for key in (3, 0, 5, 1, 4, 2)])

with webdataset.TarWriter("webdataset.tar", mtime=0, user="", group="") as shard:
    for key, label in enumerate(LABELS):
        # A .cls member for the even ones, .json for the others, and a name too long for a header.
        about = {"cls": label} if key % 2 == 0 else {"json": {"label": label}}
        folder = "long/" * 30 if key == 4 else ""
        shard.write({"__key__": f"{folder}{key:04}", "jpg": content(key), **about})
