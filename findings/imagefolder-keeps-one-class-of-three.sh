#!/usr/bin/env bash
# Expected: `load_dataset("imagefolder")` on a folder with a sub-folder for each
# class gives one split, `train`, with all images and their labels, whatever the
# classes are called.
#
# What happens: where a name of any folder or file is a word for a split, alone or
# between separators (test, val, valid, dev, eval, training, ..), only what matches
# such words is loaded; everything else is left out without a word. The labels go
# as well, since one class remains. Spectra of the amino acids ala, gly and val
# become four unlabelled images of valine in a split `validation`; one scan called
# scan-2-test.png hides the other seven.
#
# Version: datasets 5.2.0.
# Matters to: image modalities kept in folders; the images that are missing appear
# nowhere, and a join with the other modalities is merely smaller.
# Source: datasets/data_files.py, SPLIT_KEYWORDS and the order of
# ALL_DEFAULT_PATTERNS: the first kind of pattern that finds a file is the only one.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'datasets==5.2.0' 'pillow==13.0.0' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import os
from pathlib import Path

os.environ |= {"HF_HOME": str(Path("cache").resolve()), "HF_HUB_OFFLINE": "1"}
import datasets, numpy as np
from PIL import Image

datasets.disable_progress_bars()
print("guess: every image of every class folder is loaded, with its label")
print("versions: datasets", datasets.__version__)

def folder(name, classes, rename=None):
    for kind in classes:
        Path(name, kind).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(np.full((4, 4), i, "u1")).save(Path(name, kind, f"scan-{i}.png"))
    if rename:
        Path(name, rename[0]).rename(Path(name, rename[1]))
    splits = datasets.load_dataset("imagefolder", data_dir=name)
    found = {split: (rows.num_rows, list(rows.features)) for split, rows in splits.items()}
    print(f"seen: {name}: {4 * len(classes)} images in {', '.join(classes)}: {found}")
    return found

whole = ["image", "label"]
assert folder("two", ["ala", "gly"]) == {"train": (8, whole)}
assert folder("acids", ["ala", "gly", "val"]) == {"validation": (4, ["image"])}
assert folder("study", ["case", "control"],
              ("case/scan-2.png", "case/scan-2-test.png")) == {"test": (1, ["image"])}
EOF
