"""Writes the files of volumes, images and MATLAB that the tests read, and what the libraries that
wrote them read from them.

Made with Python 3.11, nibabel 5.4.2, SimpleITK 2.5.7, scipy, tifffile, h5py and Pillow; the versions
are in versions_volumes.txt.  Run it in this folder: python make_volumes.py
"""

import gzip
import json
import shutil
import struct
from importlib.metadata import version
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import scipy.io
import scipy.sparse
import SimpleITK as sitk
import tifffile
from PIL import Image

here = Path(__file__).parent
rng = np.random.default_rng(16)


def folder(name):
    path = here / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def numbers(array):
    """Values as JSON has them; those with many digits as text, which every reader rounds alike."""
    flat = np.asarray(array).astype(np.float64).ravel(order="C").tolist()
    return [int(value) if value.is_integer() else repr(value) for value in flat]


def write(path, value):
    path.write_text(json.dumps(value, indent=1).replace(",\n  ", ", ") + "\n")


# NIfTI: each file with its values in the order of the file, its extents and its orientation.
nifti = folder("nifti")
RAS = np.diag([2.0, 2.5, 3.0, 1.0])
RAS[:3, 3] = [-10, 4, 7]


def expect(name):
    image = nib.load(nifti / name)
    data = image.get_fdata(dtype=np.float64)
    known = image.header["sform_code"] > 0 or image.header["qform_code"] > 0
    return {
        "shape": list(data.shape),
        # x is the fastest axis of a file, so this is its order.
        "values": numbers(np.transpose(data)),
        "codes": "".join(nib.aff2axcodes(image.affine)) if known else None,
    }


def cube(dtype, shape=(2, 3, 2)):
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    out = rng.integers(0, 100, size=shape).astype(dtype)
    out.flat[0], out.flat[1] = max(info.min, -(2**53)), min(info.max, 2**53)
    if info.max > 16777217:
        out.flat[2] = 16777217
    return out


def save(image, name):
    nib.save(image, nifti / name)


for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]:
    save(nib.Nifti1Image(cube(dtype), RAS, dtype=np.dtype(dtype)), f"{dtype}.nii.gz")

stored = rng.integers(-1000, 1000, size=(2, 3, 2)).astype("i2")


def scaled(name, slope, inter, data=stored):
    """A file of these numbers with this slope and intercept in its header."""
    save(nib.Nifti1Image(data, RAS), name)
    raw = bytearray((nifti / name).read_bytes())
    raw[112:120] = struct.pack("<ff", slope, inter)
    (nifti / name).write_bytes(raw)


scaled("scaled.nii", 0.1, -5.0)
scaled("slope_0.nii", 0.0, 7.0)
scaled("slope_nan.nii", float("nan"), 7.0)
scaled("slope_1.nii", 1.0, 0.0)
scaled("refused_inter.nii", 0.5, float("nan"))

big = nib.Nifti1Image(stored.astype(">i2"), RAS, nib.Nifti1Header(endianness=">"))
save(big, "big_endian.nii")
save(nib.Nifti2Image(stored, RAS), "version_2.nii.gz")
save(nib.Nifti2Image(stored, RAS, nib.Nifti2Header(endianness=">")), "version_2_big.nii")
nib.save(nib.Nifti1Pair(stored, RAS), nifti / "pair.hdr")
extended = nib.Nifti1Image(stored, RAS)
extended.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"longer " * 20))
save(extended, "extended.nii.gz")
whole = gzip.decompress((nifti / "version_2.nii.gz").read_bytes())
(nifti / "members.nii.gz").write_bytes(gzip.compress(whole[:550]) + gzip.compress(whole[550:]))

# nibabel scales floats into bytes when it is asked for bytes.
labels = np.array([0, 1, 2, 4] * 3, dtype="f4").reshape(2, 3, 2)
image = nib.Nifti1Image(labels, RAS)
image.set_data_dtype("u1")
save(image, "labels_u1.nii.gz")
save(nib.Nifti1Image(labels, RAS), "labels_f4.nii.gz")

four = rng.normal(size=(2, 3, 2, 3)).astype("f4")
save(nib.Nifti1Image(four, RAS), "channels.nii.gz")
five = nib.Nifti1Image(four[:, :, :, None], RAS)
five.header.set_intent("vector")
save(five, "vector.nii.gz")
save(nib.Nifti1Image(four[..., :1, None], RAS), "trailing.nii.gz")
itk = sitk.GetImageFromArray(np.transpose(four, (2, 1, 0, 3)), isVector=True)
itk.SetSpacing([2.0, 2.5, 3.0])
sitk.WriteImage(itk, str(nifti / "itk_vector.nii.gz"))
itk = sitk.GetImageFromArray(np.transpose(stored))
itk.SetDirection([0, 0, 1, 1, 0, 0, 0, -1, 0])
sitk.WriteImage(itk, str(nifti / "itk_turned.nii"))

sheared = RAS.copy()
sheared[0, 1] = 1.2
save(nib.Nifti1Image(stored, sheared), "sheared.nii")
save(nib.Nifti1Image(stored, None), "no_orientation.nii")
quaternion = nib.Nifti1Image(stored, np.diag([-2.0, 2.5, 3.0, 1.0]))
quaternion.set_sform(None, 0)
quaternion.set_qform(np.diag([-2.0, 2.5, 3.0, 1.0]), 1)
save(quaternion, "quaternion.nii")
save(nib.Nifti1Image(np.ones((2, 3, 2), "c8"), RAS), "refused_complex.nii")
rgb = np.zeros((2, 3, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
save(nib.Nifti1Image(rgb, RAS), "refused_rgb.nii")
nib.save(nib.AnalyzeImage(stored, None), nifti / "refused_analyze.hdr")

read = sorted(p.name for p in nifti.iterdir())
read = [n for n in read if not n.startswith("refused") and not n.endswith(".img")]
write(nifti / "expected.json", {name: expect(name) for name in read})

# Names of BIDS, in folders of subjects: three modalities, of which one subject lacks one.
bids = folder("bids")
(bids / "dataset_description.json").write_text('{"Name": "test", "BIDSVersion": "1.9.0"}\n')
values = {}
for number in range(1, 6):
    subject = f"sub-{number:02}"
    anat = bids / subject / "anat"
    anat.mkdir(parents=True)
    for suffix in ["T1w", "T2w", "dseg"]:
        if (number, suffix) == (3, "T2w"):
            continue
        data = rng.integers(0, 3000, size=(4, 5, 6)).astype("i2")
        if suffix == "dseg":
            data = rng.choice([0.0, 1, 2, 4], size=(4, 5, 6)).astype("f4")
        # Front, left, up: the second axis of voxels goes to the left.
        affine = np.array([[0, -2.0, 0, 3], [2.0, 0, 0, -5], [0, 0, 3.0, 1], [0, 0, 0, 1]])
        image = nib.Nifti1Image(data, affine)
        if suffix == "dseg":
            image.set_data_dtype("u1")
        name = f"{subject}_{suffix}.nii.gz"
        nib.save(image, anat / name)
        values[name] = numbers(np.transpose(data))
        (anat / f"{subject}_{suffix}.json").write_text("{}\n")
(bids / "participants.tsv").write_text("participant_id\tage\nsub-01\t40\n")
write(here / "bids_expected.json", values)

# TIFF.
tiff = folder("tiff")
grey16 = (np.arange(24).reshape(4, 6) * 2500).astype("u2")
colour16 = rng.integers(0, 65535, size=(3, 4, 6)).astype("u2")
expected = {}


def picture(name, array, channels_first=True, **options):
    tifffile.imwrite(tiff / f"{name}.tif", array, **options)
    array = array if array.ndim == 2 or channels_first else np.moveaxis(array, -1, 0)
    expected[name] = {"shape": list(array.shape), "values": numbers(array)}


picture("u1", (grey16 // 257).astype("u1"))
picture("u2", grey16)
picture("u2_big_endian", grey16, byteorder=">", compression="deflate")
picture("u2_bigtiff", grey16, bigtiff=True)
picture("u2_tiles", np.tile(grey16, (8, 6)), tile=(16, 16), compression="deflate", predictor=True)
picture("i2", grey16.astype("i4").astype("i2") - 1000)
picture("f4", rng.normal(size=(4, 6)).astype("f4"))
picture("rgb_planar", colour16, photometric="rgb", planarconfig="separate")
picture("rgb", np.moveaxis(colour16, 0, -1), False, photometric="rgb")
picture("mask", grey16 > 30000)
picture("white_is_zero", grey16, photometric="miniswhite")
write(tiff / "expected.json", expected)

refused = folder("tiff_refused")
tifffile.imwrite(refused / "pages.tif", np.stack([grey16] * 3), photometric="minisblack")
tifffile.imwrite(refused / "sections.tif", colour16, photometric="minisblack", planarconfig="separate")
four16 = np.concatenate([colour16, colour16[:1]])
tifffile.imwrite(
    refused / "fourth.tif", four16, photometric="rgb", planarconfig="separate", extrasamples=[0]
)
tifffile.imwrite(
    refused / "palette.tif",
    grey16.astype("u1"),
    photometric="palette",
    colormap=np.zeros((3, 256), "u2"),
)
tifffile.imwrite(refused / "zstd.tif", grey16, compression="zstd")
# Its blocks have no mark of their end, which the decoder asks for.
tifffile.imwrite(
    refused / "lzw.tif", np.tile(grey16, (8, 6)), tile=(16, 16), compression="lzw", predictor=True
)
tifffile.imwrite(refused / "white_floats.tif", grey16.astype("f4"), photometric="miniswhite")
tifffile.imwrite(refused / "truncated.tif", np.tile(grey16, (20, 20)))
whole = (refused / "truncated.tif").read_bytes()
(refused / "truncated.tif").write_bytes(whole[: len(whole) // 2])

# PNG: a palette of which two colours are alike, and 16 bits.
png = folder("png")
classes = rng.choice([0, 1, 2, 5, 255], size=(4, 6)).astype("u1")
image = Image.fromarray(classes, mode="P")
palette = np.zeros((256, 3), "u1")
palette[1] = palette[2] = [200, 10, 10]
palette[255] = [224, 224, 192]
image.putpalette(palette.ravel().tolist())
image.save(png / "palette.png")
few = Image.fromarray((classes % 3).astype("u1"), mode="P")
few.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
few.save(png / "few.png", bits=2)
Image.fromarray(grey16).save(png / "u2.png")
write(
    png / "expected.json",
    {"palette": numbers(classes), "few": numbers(classes % 3), "u2": numbers(grey16)},
)

# MATLAB.
mat = folder("mat")
dense = rng.normal(size=(5, 3))
sparse = scipy.sparse.random(5, 7, density=0.3, random_state=3, format="csc")
variables = {
    "dense": dense,
    "single": dense.astype("f4"),
    "cube": rng.integers(0, 255, size=(5, 2, 3)).astype("u1"),
    "signed": np.array([[-5, 300], [7, -32768], [1, 2], [3, 4], [5, 6]], "i2"),
    "long": np.array([2**53 + 1, -1, 0, 1, 2], "i8"),
    "whole": np.array([[1.0, 200], [3, 4], [5, 6], [7, 8], [9, 10]]),
    "sparse": sparse,
    "logical": dense > 0,
    "missing": np.array([[np.nan, 1.0]] * 5),
}
others = {
    "alpha": 0.5,
    "title": "a text",
    "cells": np.array([np.arange(3), "x"], dtype=object),
    "settings": {"rate": 0.1},
    "wave": dense + 1j,
    "nothing": np.zeros((0, 3)),
}
names = np.array(["p1", "p2", "p3", "p4", "p5 ä"], dtype=object)
kinds = np.array(["cat", "dog", "cat", "dog", "cat"])
every = {**variables, **others, "ids": names, "labels": kinds}
scipy.io.savemat(mat / "plain.mat", every)
scipy.io.savemat(mat / "packed.mat", every, do_compression=True)
scipy.io.savemat(mat / "version_4.mat", {"dense": dense}, format="4")
with h5py.File(mat / "version_7_3.mat", "w", userblock_size=512) as file:
    file["dense"] = dense.T
raw = bytearray((mat / "version_7_3.mat").read_bytes())
text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64"
raw[: len(text)] = text
(mat / "version_7_3.mat").write_bytes(raw)
dense_of = {k: (v.toarray() if scipy.sparse.issparse(v) else v) for k, v in variables.items()}
write(
    mat / "expected.json",
    {k: {"shape": list(np.shape(v)), "values": numbers(v)} for k, v in dense_of.items()},
)

libraries = "numpy nibabel SimpleITK scipy tifffile imagecodecs h5py pillow".split()
lines = [f"{name} {version(name)}" for name in libraries]
(here / "versions_volumes.txt").write_text("\n".join(lines) + "\n")
