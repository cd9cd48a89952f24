"""Writes the text lists of BLUFR from the toolkit's blufr_lfw_config.mat.

The toolkit of the authors has these lists in its folder list/lfw; this is for who has the .mat file alone.

Needs scipy:
    python blufr_lists.py blufr_lfw_config.mat FOLDER
"""

import sys
from pathlib import Path

from scipy.io import loadmat

if len(sys.argv) != 3:
    sys.exit(__doc__)
config, folder = loadmat(sys.argv[1]), Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)

# Cell arrays come as arrays of arrays.
names = [str(cell.item()) for cell in config["imageList"].ravel()]
(folder / "image_list.txt").write_text("".join(f"{name}\n" for name in names))
(folder / "labels.txt").write_text("".join(f"{int(label)}\n" for label in config["labels"].ravel()))
for variable, file in [("testIndex", "test_set"), ("galIndex", "gallery_set"), ("probIndex", "probe_set")]:
    trials = [[int(index) for index in cell.ravel()] for cell in config[variable].ravel()]
    lines = [f"{len(trials)}\n"]
    for trial in trials:
        lines.append(f"{len(trial)}\n")
        # Indices count from 1, as in MATLAB.
        lines += [f"{index}, {names[index - 1]}\n" for index in trial]
    (folder / f"{file}.txt").write_text("".join(lines))
