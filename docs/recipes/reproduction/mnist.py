"""MNIST with labels in the published split, as data of two modalities.

    python mnist.py FOLDER-OF-MNIST OUT

writes OUT.toml and OUT/: the 60,000 training images, all of which are learned from as in the papers;
5,000 of them once more for validation; the 10,000 test images. Images are grey: `data.binarise` in the
recipes draws their pixels, for each epoch anew. OUT-train.toml has the training images alone, of which
others measured likelihoods.
"""
import gzip
import os
import sys

import numpy as np

source, out = sys.argv[1], sys.argv[2].rstrip("/")


def idx(name, skip):
    path = os.path.join(source, name)
    with (open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=skip)


def split(name):
    images = idx(f"{name}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    return images, idx(f"{name}-labels-idx1-ubyte", 8)


(train, digits), (test, test_digits) = split("train"), split("t10k")
held = np.random.default_rng(0).permutation(len(train))[:5000]
images = np.concatenate([train, train[held], test])
classes = np.concatenate([digits, digits[held], test_digits])

os.makedirs(out)
np.save(f"{out}/image.npy", images)
np.save(f"{out}/label.npy", np.eye(10, dtype=np.float32)[classes])
np.save(f"{out}/digit.npy", classes.astype(np.int64))
ends = np.cumsum([0, len(train), len(held), len(test)])
rows = {name: list(range(*ends[i : i + 2])) for i, name in enumerate(["train", "valid", "test"])}
folder = os.path.basename(out)
np.save(f"{out}/train-image.npy", train)
np.save(f"{out}/train-label.npy", np.eye(10, dtype=np.float32)[digits])


def modalities(prefix):
    return f"""[[modality]]
name = "image"
file = "{folder}/{prefix}image.npy"

[[modality]]
name = "label"
file = "{folder}/{prefix}label.npy"
likelihood = {{ kind = "categorical" }}
"""


with open(f"{out}-train.toml", "w") as file:
    file.write(modalities("train-"))
with open(f"{out}.toml", "w") as file:
    file.write(
        f"""{modalities("")}
[labels]
file = "{folder}/digit.npy"

[splits]
train = {rows["train"]}
valid = {rows["valid"]}
test = {rows["test"]}
"""
    )
