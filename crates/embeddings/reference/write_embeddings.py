"""Writes the small files of embeddings that the tests read: `python write_embeddings.py`.

Needs numpy (2.4.6), pyarrow and pandas. Synthetic numbers: i / 8 - 0.5, exact in every size.
"""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))
names = ["a/1.jpg", 'ü, "b"\n.jpg', "c 😀"]
identities = ["a", "", "ç"]
rows = (np.arange(12, dtype="<f4") / 8 - 0.5).reshape(3, 4)


def path(name):
    return os.path.join(here, name)


np.savez(path("numpy_savez.npz"), embeddings=rows, names=np.array(names), other=np.arange(3))
np.savez_compressed(
    path("numpy_savez_compressed.npz"), embeddings=rows, names=np.array(names), identities=np.array(identities)
)
np.savez(
    path("numpy_half.npz"), embeddings=rows.astype(">f2"), names=np.array([name.encode() for name in names])
)
np.savez_compressed(path("numpy_double.npz"), embeddings=rows.astype(">f8"), names=np.array(names).astype(">U20"))
np.savez(path("numpy_fortran.npz"), embeddings=np.asfortranarray(rows), names=np.array(names))
np.savez(path("numpy_object.npz"), embeddings=rows, names=np.array(names, dtype=object))
np.savez(path("numpy_integer.npz"), embeddings=rows.astype("i4"), names=np.array(names))

pq.write_table(
    pa.table({"embedding": pa.array(rows.tolist(), pa.list_(pa.float32())), "name": names, "identity": identities}),
    path("pyarrow_default.parquet"),
)
# Lists of fixed length, doubles, several row groups, pages of the second version.
pq.write_table(
    pa.table({"name": names, "embedding": pa.array(rows.tolist(), pa.list_(pa.float64(), 4))}),
    path("pyarrow_groups.parquet"),
    row_group_size=2,
    data_page_version="2.0",
    compression="zstd",
    use_dictionary=False,
)
frame = pd.DataFrame({"name": names, "identity": identities, "embedding": list(rows)})
frame.to_parquet(path("pandas.parquet"))
pq.write_table(
    pa.table({"name": names, "embedding": pa.array([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]], pa.list_(pa.float32()))}),
    path("pyarrow_ragged.parquet"),
)
