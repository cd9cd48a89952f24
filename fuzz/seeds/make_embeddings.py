"""Writes embedding_file/*.csv, embedding_file/*.safetensors and gallery/*.safetensors, as facegrad writes them.

Run with python3 in this folder. The numbers are synthetic. Seeds of .npz and .parquet are the files that the tests
read, in crates/embeddings/reference.
"""

import json
import struct

NAMES = ["a/1.jpg", 'ü, "b".jpg', "c.jpg"]
IDENTITIES = ["a", "", "c"]
# Of length 1, as in a gallery whose embeddings are compared by their cosine.
ROWS = [[1.0, 0.0], [0.6, -0.8], [0.0, 1.0]]


def origin(scoring):
    return json.dumps({
        "facegrad": "0.1.0", "model_sha256": "ab" * 32, "flip": "add", "scoring": scoring, "backend": "flex",
        "normalised": scoring == "cosine",
    })


def safetensors(path, dtype, metadata):
    code = {"F16": "e", "F32": "f", "F64": "d"}[dtype]
    rows = b"".join(struct.pack("<2" + code, *row) for row in ROWS)
    texts = [json.dumps(texts, ensure_ascii=False).encode() for texts in (NAMES, IDENTITIES)]
    header, end = {"__metadata__": metadata}, 0
    for name, kind, shape, tensor in [
        ("embeddings", dtype, [3, 2], rows),
        ("names", "U8", [len(texts[0])], texts[0]),
        ("identities", "U8", [len(texts[1])], texts[1]),
    ]:
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(tensor)]}
        end += len(tensor)
    header = json.dumps(header, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + rows + b"".join(texts))


for dtype in ["F16", "F32", "F64"]:
    safetensors("embedding_file/%s.safetensors" % dtype.lower(), dtype,
                {"facegrad": "embeddings", "origin": origin("cosine")})
for scoring in ["cosine", "euclidean"]:
    safetensors("gallery/%s.safetensors" % scoring, "F32",
                {"facegrad": "gallery", "gallery_format": "1", "origin": origin(scoring)})
with open("embedding_file/identities.csv", "w") as file:
    file.write("# facegrad origin %s\nname,identity,e0,e1\n" % origin("cosine"))
    file.write('a/1.jpg,a,1.0,0.0\n"ü, ""b"".jpg",,0.6,-0.8\nc.jpg,c,0.0,1e-3\n')
with open("embedding_file/names.csv", "w") as file:
    file.write("name,e0,e1,e2\na.jpg,1.5,-2,3e4\nb.jpg,0,0,1\n")
