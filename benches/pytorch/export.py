"""Writes a network as an ONNX file whose batch dimension is free: export.py BACKBONE FILE."""

import sys
from pathlib import Path

import torch

import networks


def main(kind, path):
    net = networks.network(kind).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first, so that a file of the right name is always a whole one.
    part = path.with_suffix(".part")
    torch.onnx.export(
        net,
        (torch.zeros(1, 3, 112, 112),),
        part,
        input_names=["images"],
        output_names=["embeddings"],
        dynamic_axes={"images": {0: "batch"}, "embeddings": {0: "batch"}},
        dynamo=False,
    )
    part.rename(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
