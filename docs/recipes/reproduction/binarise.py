"""MNIST as binary images with labels, of which every pixel is drawn with its grey value as probability.

    python binarise.py FOLDER-OF-MNIST OUT [COPIES]

writes OUT.toml and OUT/: the 60,000 training images COPIES times (10), each time drawn anew, for
training; 5,000 of them drawn once more for validation; the 10,000 test images drawn once. The papers
draw at every access, which this comes near to.
"""
import gzip
import os
import sys

import numpy as np

source, out = sys.argv[1], sys.argv[2].rstrip("/")
copies = int(sys.argv[3]) if len(sys.argv) > 3 else 10


def idx(name, skip):
    path = os.path.join(source, name)
    with (open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=skip)


def images(split):
    return idx(f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)


rng = np.random.default_rng(0)
train, test = images("train"), images("t10k")
digits = idx("train-labels-idx1-ubyte", 8), idx("t10k-labels-idx1-ubyte", 8)
held = rng.permutation(len(train))[:5000]
parts = [("train", train, digits[0])] * copies
parts += [("valid", train[held], digits[0][held]), ("test", test, digits[1])]

os.makedirs(out)
rows = sum(len(x) for _, x, _ in parts)
values = np.lib.format.open_memmap(f"{out}/image.npy", "w+", np.uint8, (rows, 1, 28, 28))
start = 0
for _, x, _ in parts:
    drawn = rng.random(x.shape, dtype=np.float32) * 255 < x
    values[start : start + len(x)] = drawn * np.uint8(255)
    start += len(x)
values.flush()
classes = np.concatenate([y for _, _, y in parts])
np.save(f"{out}/label.npy", np.eye(10, dtype=np.float32)[classes])
np.save(f"{out}/digit.npy", classes.astype(np.int64))
ends = np.cumsum([0, copies * len(train), len(held), len(test)])
train, valid, test = (list(range(*ends[i : i + 2])) for i in range(3))
folder = os.path.basename(out)
with open(f"{out}.toml", "w") as file:
    file.write(
        f"""[[modality]]
name = "image"
file = "{folder}/image.npy"
likelihood = {{ kind = "bernoulli" }}

[[modality]]
name = "label"
file = "{folder}/label.npy"
likelihood = {{ kind = "categorical" }}

[labels]
file = "{folder}/digit.npy"

[splits]
train = {train}
valid = {valid}
test = {test}
"""
    )
