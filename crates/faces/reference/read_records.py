"""Reads sets that facegrad wrote with other programs, and prints how many images there are and a sum over them.

RecordIO (.rec) with MXNet, in the way of insightface's dataset.py, and with the few lines below; WebDataset (.tar)
with webdataset, and with Python's own tarfile. Where MXNet or webdataset are missing only the second is done, and
said. A test of crates/faces/src/convert runs this on what was written. Run with MXNet 1.9.1 (numpy 1.23.5,
Python 3.8.18), webdataset 0.2.100 and 1.0.2.
"""

import json
import struct
import sys
import tarfile

MAGIC = struct.pack("<I", 0xCED7230A)


def total(rows):
    count, result = 0, 0
    for label, image in rows:
        count += 1
        for byte in f"{label} ".encode() + image:
            result = (result * 31 + byte) % 1_000_000_007
    return f"{count} images, {result}"


def of_insightface(read, keys):
    """The images by a function from a key to (flag, labels, image), as insightface's dataset.py takes them."""
    flag, labels, _ = read(0)
    for key in range(1, int(labels[0])) if flag > 0 else keys:
        _, labels, image = read(key)
        yield int(labels[0]), image


def with_mxnet(path):
    from mxnet import recordio

    records = recordio.MXIndexedRecordIO(path[:-4] + ".idx", path, "r")

    def read(key):
        header, image = recordio.unpack(records.read_idx(key))
        labels = header.label if header.flag > 0 else [header.label]
        return header.flag, labels, image

    # The ranges of the identities, as insightface's older FaceImageIter takes them.
    flag, (end, last), _ = read(0)
    assert flag == 2
    expected = 1
    for key in range(int(end), int(last)):
        flag, (first, after), image = read(key)
        assert (flag, first, image) == (2, expected, b"") and after > first, key
        expected = after
    assert expected == end
    return total(of_insightface(read, list(records.keys)))


def by_hand(path):
    data = open(path, "rb").read()
    offsets = dict(map(int, line.split("\t")) for line in open(path[:-4] + ".idx"))

    def record(at):
        parts = []
        while True:
            magic, word = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
            assert magic == MAGIC, at
            length = word & ((1 << 29) - 1)
            parts.append(data[at + 8 : at + 8 + length])
            at += 8 + (length + 3) // 4 * 4
            if word >> 29 in (0, 3):
                return MAGIC.join(parts)

    def read(key):
        bytes = record(offsets[key])
        flag, label, id, _ = struct.unpack("<IfQQ", bytes[:24])
        assert id == key, (id, key)
        labels = struct.unpack(f"<{flag}f", bytes[24 : 24 + 4 * flag]) if flag > 0 else [label]
        return flag, labels, bytes[24 + 4 * flag :]

    return total(of_insightface(read, list(offsets)))


def samples(files):
    """Samples of a tar file by tarfile."""
    sample = {}
    for path in files:
        with tarfile.open(path) as archive:
            for member in archive:
                key, ending = member.name.split(".", 1)
                if sample and sample["__key__"] != key:
                    yield sample
                    sample = {}
                sample["__key__"] = key
                sample[ending] = archive.extractfile(member).read()
    yield sample


def of_samples(samples):
    keys = set()
    for sample in samples:
        assert sample["__key__"] not in keys
        keys.add(sample["__key__"])
        about = json.loads(sample["json"])
        assert about["label"] == int(sample["cls"]) and about["identity"] and about["key"], about
        image = next(sample[ending] for ending in ("png", "jpg") if ending in sample)
        yield about["label"], image


files = sys.argv[1:]
if files[0].endswith(".rec"):
    second = by_hand(files[0])
    try:
        import mxnet

        assert with_mxnet(files[0]) == second
        program = f"MXNet {mxnet.__version__}"
    except ImportError:
        program = "this Python has no MXNet"
else:
    second = total(of_samples(samples(files)))
    try:
        import webdataset

        read = webdataset.WebDataset(files, shardshuffle=False)
        assert total(of_samples(read)) == second
        program = f"webdataset {webdataset.__version__}"
    except ImportError:
        program = "this Python has no webdataset"
print(second)
print(program)
