"""Three images of a class for both libraries: a digit, a garment, a digit on a photograph.

    python images.py FOLDER-OF-MNIST FOLDER-OF-FASHION-MNIST PHOTOGRAPH [ROWS]

writes images-full.toml, images-half.toml and images-discarded.toml with their folders, and
images.npz with the same values, parts and masks for Python, and classifiers.npz, 16,000 further rows
for classifiers to learn from. A row is a class: a digit of MNIST, the
garment of Fashion-MNIST with that number, and another digit of MNIST on a part of the photograph,
whose colours are inverted where the digit is, as in PolyMNIST. Of ROWS (4000) rows to learn from,
500 to choose the epoch by and 1000 to test, drawn from the published parts, those to test are
complete; in `half` half of the images of the others are missing, and `discarded` has the complete
rows of `half` alone. PHOTOGRAPH is read by Pillow; `rocket.jpg` of scikit-image was used.
"""
import gzip
import os
import sys

import numpy as np
from PIL import Image

mnist, fashion, photograph = sys.argv[1:4]
n_train = int(sys.argv[4]) if len(sys.argv) > 4 else 4000
names = ["digit", "garment", "photo"]


def idx(folder, name, skip):
    path = os.path.join(folder, name)
    with (open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=skip)


def images(folder, split):
    values = idx(folder, f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    return values, idx(folder, f"{split}-labels-idx1-ubyte", 8)


def of_class(rng, classes, labels):
    """Places of images of these classes, each class in an order of its own and used evenly."""
    places = np.empty(len(classes), int)
    for c in range(10):
        rows = np.flatnonzero(classes == c)
        places[rows] = np.resize(rng.permutation(np.flatnonzero(labels == c)), len(rows))
    return places


def on_photograph(rng, digits):
    """As PolyMNIST: a random part of the photograph, inverted where a digit is."""
    photo = np.asarray(Image.open(photograph).convert("RGB")).transpose(2, 0, 1)
    out = np.empty((len(digits), 3, 28, 28), np.uint8)
    for row, digit in enumerate(digits):
        y, x = rng.integers(photo.shape[1] - 28), rng.integers(photo.shape[2] - 28)
        part = photo[:, y : y + 28, x : x + 28]
        out[row] = np.where(digit > 128, 255 - part, part)
    return out


def rows(rng, split, n):
    """Values and classes of `n` rows of a published part."""
    (digits, labels), (garments, kinds) = images(mnist, split), images(fashion, split)
    classes = rng.permutation(np.arange(n) % 10)
    first, other = (of_class(rng, classes, labels) for _ in range(2))
    garment = of_class(rng, classes, kinds)
    return [digits[first], garments[garment], on_photograph(rng, digits[other])], classes


rng = np.random.default_rng(0)
learn, test = rows(rng, "train", n_train + 500), rows(rng, "t10k", 1000)
values = [np.concatenate(both) for both in zip(learn[0], test[0])]
classes = np.concatenate([learn[1], test[1]])
part = np.array(["train"] * n_train + ["valid"] * 500 + ["test"] * 1000)
observed = rng.random((len(part), 3)) < 0.5
for row in np.flatnonzero(~observed.any(1)):
    observed[row, rng.integers(3)] = True
observed[part == "test"] = True
np.savez("images.npz", y=classes, part=part, mask=observed, **dict(zip(names, values)))
further, kinds = rows(rng, "train", 16000)
np.savez("classifiers.npz", y=kinds, **dict(zip(names, further)))

everything = np.ones_like(observed)
masks = {"full": everything, "half": observed, "discarded": everything & observed.all(1)[:, None]}
for kind, mask in masks.items():
    folder = f"images-{kind}"
    os.makedirs(folder)
    with open(f"{folder}.toml", "w") as manifest:
        for j, name in enumerate(names):
            np.save(f"{folder}/{name}.npy", values[j][mask[:, j]])
            with open(f"{folder}/{name}-ids.csv", "w") as file:
                file.write("id\n" + "".join(f"r{row:05}\n" for row in np.flatnonzero(mask[:, j])))
            manifest.write(
                f'[[modality]]\nname = "{name}"\nfile = "{folder}/{name}.npy"\n'
                f'ids = "{folder}/{name}-ids.csv"\nlikelihood = {{ kind = "laplace", scale = 0.1 }}\n\n'
            )
        table = f'file = "{folder}/rows.csv"\nid = "id"\n'
        manifest.write(f'[labels]\n{table}column = "class"\n\n[splits]\n{table}column = "part"\n')
    with open(f"{folder}/rows.csv", "w") as file:
        file.write("id,class,part\n")
        for row in np.flatnonzero(mask.any(1)):
            file.write(f"r{row:05},{classes[row]},{part[row]}\n")
