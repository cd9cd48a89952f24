"""Reads a Parquet file of images with pyarrow, and with Hugging Face's datasets if it is installed.

A test of crates/faces/src/convert/parquet.rs runs it on what facegrad wrote. Ends with code 77 where pyarrow is
missing. Written with pyarrow 26.0.1 and datasets 5.2.0.
"""

import json
import os
import sys
import tempfile

try:
    import pyarrow.parquet as pq
except ImportError:
    print("this Python has no pyarrow")
    sys.exit(77)

table = pq.read_table(sys.argv[1])
names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]


def total(rows):
    result = 0
    for image, label in rows:
        for byte in f"{image['path']} {label} ".encode() + image["bytes"]:
            result = (result * 31 + byte) % 1_000_000_007
    return result


plain = total(zip(table["image"].to_pylist(), table["label"].to_pylist()))
print(f"{table.num_rows} rows of {len(names)} names, {plain}")

chunk = pq.ParquetFile(sys.argv[1]).metadata.row_group(0)
assert chunk.num_rows <= 100 and chunk.column(0).has_offset_index, chunk

with tempfile.TemporaryDirectory() as cache:
    # Nothing is fetched, and nothing stays.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=cache)
    try:
        import datasets
    except ImportError:
        print("this Python has no datasets")
        sys.exit(0)
    rows = datasets.load_dataset("parquet", data_files=sys.argv[1], split="train", cache_dir=cache)
    assert isinstance(rows.features["image"], datasets.Image), rows.features
    assert rows.features["label"].names == names, rows.features
    rows = rows.cast_column("image", datasets.Image(decode=False))
    again = total((row["image"], row["label"]) for row in rows)
    assert again == plain, (again, plain)
    print(f"datasets {datasets.__version__} agrees")
