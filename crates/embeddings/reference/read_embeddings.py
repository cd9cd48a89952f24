"""Reads files of embeddings with other people's readers: `python read_embeddings.py FILE...`.

Needs numpy, safetensors, pandas and pyarrow. Prints, for each file, one line of JSON: the shape, the SHA-256 of
the rows (f32, little-endian, row by row), of the names and of the identities (UTF-8, a zero byte behind each),
and the origin.
"""

import hashlib
import json
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from safetensors import safe_open


def npz(path):
    with np.load(path) as file:  # allow_pickle=False
        identities = file["identities"] if "identities" in file else None
        return file["embeddings"], file["names"], identities, str(file["origin"]) if "origin" in file else None


def safetensors(path):
    with safe_open(path, framework="numpy") as file:
        text = {key: json.loads(file.get_tensor(key).tobytes()) for key in file.keys() if key != "embeddings"}
        return file.get_tensor("embeddings"), text["names"], text.get("identities"), file.metadata().get("origin")


def csv(path):
    mark = "# facegrad origin "
    with open(path, encoding="utf-8") as file:
        first = file.readline()
    origin = first[len(mark) :].strip() if first.startswith(mark) else None
    # Without `float_precision` pandas reads numbers that are off by one in the last digit.
    frame = pd.read_csv(
        path,
        skiprows=int(origin is not None),
        dtype={"name": str, "identity": str},
        keep_default_na=False,
        float_precision="round_trip",
    )
    identities = frame.pop("identity") if "identity" in frame else None
    return frame.drop(columns="name").to_numpy(np.float32), frame["name"], identities, origin


def parquet(path):
    table = pq.read_table(path)
    frame = pd.read_parquet(path)
    assert frame["name"].tolist() == table["name"].to_pylist()
    identities = frame["identity"] if "identity" in frame else None
    origin = (table.schema.metadata or {}).get(b"facegrad.origin", b"").decode() or None
    rows = np.stack(frame["embedding"].tolist()) if len(frame) else np.zeros((0, 0), np.float32)
    assert pq.ParquetFile(path).metadata.num_rows == len(rows)
    return rows, frame["name"], identities, origin


def sha256(texts):
    if texts is None:
        return None
    return hashlib.sha256(b"".join(str(text).encode() + b"\0" for text in texts)).hexdigest()


for path in sys.argv[1:]:
    rows, names, identities, origin = globals()[path.rsplit(".", 1)[1]](path)
    assert rows.dtype == np.float32, rows.dtype
    print(
        json.dumps(
            {
                "shape": list(rows.shape),
                "rows": hashlib.sha256(np.ascontiguousarray(rows, "<f4").tobytes()).hexdigest(),
                "names": sha256(names),
                "identities": sha256(identities),
                "origin": origin and json.loads(origin),
            }
        )
    )
