#!/usr/bin/env bash
# Expected: an array that WebDataset writes into a shard as a tensor (`.ten`) and reads back
# has the numbers that were written, as it has with `.npy` in the same shard.
#
# What happens: the type is written as its name without the byte order, and the bytes as they
# are. Arrays that come from big-endian files, which numpy takes for what they are, are read
# as little-endian: region 17 of a segmentation is 285212672, and thicknesses of 2.5 mm are
# 1e-41. Nothing is raised, and shape and type are right. FreeSurfer's volumes are always of
# this order, FITS files too, NIfTI files sometimes, so it is one modality of the sample.
#
# Version: webdataset 1.0.2 with nibabel 5.4.2.
# Matters to: shards of several modalities in which some arrays come straight from such files;
# small floats are taken for silence, and a normalisation afterwards makes them look like data.
# Source: webdataset/tenbin.py, encode_header (dtype.name) and encode_list (the bytes as they are).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'webdataset==1.0.2' 'nibabel==5.4.2' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import importlib.metadata
import nibabel, numpy as np, webdataset

print("guess: a tensor comes back from a shard with the values it had")
print("versions:", *(f"{name} {importlib.metadata.version(name)}" for name in ("webdataset", "nibabel", "numpy")))
regions = np.arange(15, 21, dtype="i4").reshape(1, 2, 3)
thickness = np.full((1, 2, 3), 2.5, "f4")
for name, volume in (("regions", regions), ("thickness", thickness)):
    nibabel.save(nibabel.MGHImage(volume, np.eye(4)), name + ".mgz")

def read(name):
    return np.asanyarray(nibabel.load(name + ".mgz").dataobj)

assert np.array_equal(read("regions"), regions) and np.array_equal(read("thickness"), thickness)
print("seen: nibabel reads", read("regions").ravel().tolist(), "of type", read("regions").dtype.str,
      "and", float(read("thickness").flat[0]), "of type", read("thickness").dtype.str)
with webdataset.TarWriter("shard.tar") as shard:
    for key, change in (("as-read", lambda a: a), ("native", lambda a: a.astype(a.dtype.newbyteorder("=")))):
        shard.write({"__key__": key} | {f"{name}.{kind}": change(read(name))
                                        for name in ("regions", "thickness") for kind in ("ten", "npy")})
for sample in webdataset.WebDataset("shard.tar", shardshuffle=False).decode():
    (labels,), (values,) = sample["regions.ten"], sample["thickness.ten"]
    print(f"seen: {sample['__key__']}: tensor {labels.ravel().tolist()} of type {labels.dtype.str} and "
          f"{float(values.flat[0]):.3g}, npy {sample['regions.npy'].ravel().tolist()} and {float(sample['thickness.npy'].flat[0])}")
    assert np.array_equal(sample["regions.npy"], regions) and np.array_equal(sample["thickness.npy"], thickness)
    assert labels.shape == regions.shape and labels.dtype == np.int32
    right = sample["__key__"] == "native"
    assert np.array_equal(labels, regions if right else regions.byteswap())
    assert np.array_equal(values, thickness if right else thickness.byteswap())
PY
