#!/usr/bin/env bash
# Expected: NiftiLabelsMasker reads an image. Voxels that are NaN (outside the
# field of view or the mask, as SPM and others write them) are left out of a
# region's mean, or make it NaN, and the image stays as it is.
#
# What happens: NaN is set to 0 and counted, in the caller's own array. A region
# that was half scanned has half its signal, one that was not scanned at all has
# an ordinary 0. Afterwards the array has no NaN left: what was not observed is
# observed zeros for every later step, and for the file that is saved. A warning
# speaks of replacing with zeros, not of whose. An image that is still on the disk is
# copied first, so the same lines change nothing there; NiftiMasker computes with
# zeros too and leaves the array alone.
#
# Version: nilearn 0.14.1.
# Matters to: masks of missing values taken from NaN: before or after the region
# table is a different answer, and people whose scan ends a little lower get lower
# values in the border regions.
# Source: nilearn.regions.img_to_signals_labels; nilearn/_utils/niimg.py,
# safe_get_data, whose comment takes back "no side effect" for ensure_finite=True.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nilearn==0.14.1' 'nibabel==5.4.2' 'scikit-learn==1.9.1' 'scipy==1.17.1' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import nibabel as nib, nilearn, numpy as np
from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

print("guess: NaN voxels are left out or make a region NaN, and the image is only read")
print("versions: nilearn", nilearn.__version__, "nibabel", nib.__version__)
labels = np.repeat([1, 1, 2, 2, 3, 3], 16).reshape(6, 4, 4).astype("i2")
atlas = nib.Nifti1Image(labels, np.eye(4))
everywhere = nib.Nifti1Image(np.ones((6, 4, 4), "u1"), np.eye(4))

def scan():
    values = np.full((6, 4, 4, 5), 10.0)
    values[0] = np.nan   # half of region 1
    values[4:] = np.nan  # all of region 3
    return values, nib.Nifti1Image(values, np.eye(4))

for strategy in ("mean", "median"):
    values, image = scan()
    before = np.isnan(values).sum()
    regions = NiftiLabelsMasker(atlas, strategy=strategy, standardize=None).fit_transform(image)[0]
    after = np.isnan(values).sum()
    print(f"seen: {strategy}: half scanned {regions[0]}, scanned {regions[1]}, not scanned {regions[2]} "
          f"(every voxel is 10); NaN in the caller's array {before}, afterwards {after}")
    assert np.allclose(regions, [5, 10, 0])
    assert (before, after) == (240, 0) and values[5, 0, 0, 0] == 0

values, image = scan()
nib.save(image, "scan.nii")
on_disk = nib.load("scan.nii")
regions = NiftiLabelsMasker(atlas, standardize=None).fit_transform(on_disk)[0]
left = np.isnan(on_disk.get_fdata()).sum()
voxels = NiftiMasker(everywhere, standardize=None).fit_transform(image)[0]
print(f"seen: from a file: the same means {regions.tolist()}, {left} NaN left; "
      f"NiftiMasker: {(voxels == 0).sum()} zeros, {np.isnan(values).sum()} NaN left")
assert np.allclose(regions, [5, 10, 0]) and left == 240
assert (voxels == 0).sum() == 48 and np.isnan(values).sum() == 240
EOF
