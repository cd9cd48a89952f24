"""Writes the small Parquet files that the tests of crates/faces/src/formats/parquet read.

Run with Python 3.11, pyarrow 26.0.1 and datasets 5.2.0:

    python3 crates/faces/reference/write_parquet.py

Image i of a file is a PNG of 2 x 2 grey pixels of value 7 i modulo 256, so that a reader can check what it gets.
"""

import json
import struct
import zlib
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent


def png(value):
    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes([0, value, value]) * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def images(count):
    return [png(7 * i % 256) for i in range(count)]


def groups(contents):
    """The column `image` as Hugging Face has it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [None if c == "null" else {"bytes": c, "path": f"{i}.png"} for i, c in enumerate(contents)]
    return pa.array(rows, kind)


def names(text):
    features = {"image": {"_type": "Image"}, "label": {"names": text, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(name, table, **options):
    pq.write_table(table, HERE / f"{name}.parquet", **options)


# pyarrow's defaults: snappy, a dictionary for every column, one page a row group.
labels = pa.array([i % 3 for i in range(12)], pa.int64())
table = pa.table({"image": groups(images(12)), "label": labels})
table = table.replace_schema_metadata(names(["Zoë", "ann lee", "Bo\nJr"]))
write("set_names", table, row_group_size=5)

# What the datasets library writes itself.
features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
rows = {"image": [{"bytes": c, "path": None} for c in images(9)], "label": [i // 5 for i in range(9)]}
datasets.Dataset.from_dict(rows, features=features).to_parquet(HERE / "set_datasets.parquet", batch_size=4)

# A flat column and text; several pages of version 2 in each row group, which a page index lists.
table = pa.table({"name": [f"person {i // 4}" for i in range(20)], "jpg": pa.array(images(20), pa.binary())})
write("set_flat", table, compression="zstd", use_dictionary=["name"], row_group_size=13, data_page_size=1,
      write_batch_size=3, data_page_version="2.0", write_page_index=True)

# The same without an index and without compression, with labels from 1 in 32 bits and pages of version 1.
table = pa.table({"image": groups(images(20)), "identity": pa.array([1 + i // 10 for i in range(20)], pa.int32())})
write("set_plain", table, compression="none", use_dictionary=False, row_group_size=13, data_page_size=1,
      write_batch_size=3)

# Images that come again, in a dictionary that is full after some of them; an index.
contents = [images(10)[i % 10 if i < 30 else 9 - i % 10] for i in range(40)]
table = pa.table({"image": groups(contents), "label": pa.array([i % 2 for i in range(40)], pa.int64())})
write("set_dictionary", table, row_group_size=20, dictionary_pagesize_limit=400, data_page_size=1,
      write_batch_size=4, write_page_index=True)

# Rows without an image: no group, or a group without bytes.
contents = images(10)
contents[2], contents[3], contents[9] = None, "null", None
table = pa.table({"image": groups(contents), "label": pa.array([i % 2 for i in range(10)], pa.int64())})
write("set_nulls", table, data_page_size=1, write_batch_size=4, use_dictionary=False)

# A row without a label, and a compression that is rare.
table = pa.table({"image": groups(images(4)), "label": pa.array([0, 1, None, 1], pa.int64())})
write("set_unlabelled", table)
table = pa.table({"image": groups(images(4)), "label": pa.array([0, 1, 0, 1], pa.int64())})
write("set_gzip", table, compression="gzip")
