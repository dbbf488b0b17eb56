#!/usr/bin/env bash
# Expected: appending identifiers that are longer than those in a Zarr array of
# text is an error, as xarray makes it one, or widens the array; numbers that do
# not fit are refused.
#
# What happens: they are cut to the width of the first batch: c10 and c11 after c1
# and c2 are stored as c1 and c1, which exist. Counts appended to an array of
# uint8 wrap (300 is 44) and halves become whole numbers. Nothing is said, in
# format 2 and 3 alike. The width is that of the first batch written, so the same
# loop over the same batches in another order stores other identifiers.
#
# Version: zarr 3.1.6.
# Matters to: stores filled batch by batch or site by site: identifiers that exist
# twice join a row to another row's modality.
# Source: zarr Array.append, zarr/core/array.py: the value is cast by
# numpy's astype, which is unsafe by default, before it is encoded.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'zarr==3.1.6' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, zarr

print("guess: what does not fit is refused, or the array is widened")
print("versions: zarr", zarr.__version__, "numpy", np.__version__)

def appended(first, then, zarr_format):
    array = zarr.create_array({}, data=np.array(first), zarr_format=zarr_format)
    array.append(np.array(then))
    return array[:]

short, long = ["c1", "c2"], ["c10", "c11"]
for zarr_format in (2, 3):
    ids = appended(short, long, zarr_format).tolist()
    turned = appended(long, short, zarr_format).tolist()
    counts = appended(np.array([1, 2], "u1"), [300, 3], zarr_format).tolist()
    halves = appended([1, 2], [1.5, 2.5], zarr_format).tolist()
    print(f"seen: format {zarr_format}: {short} then {long}: {ids}; the other way round: {turned}; "
          f"300 in uint8: {counts[2]}; 1.5 and 2.5 in int64: {halves[2:]}")
    assert ids == ["c1", "c2", "c1", "c1"]
    assert turned == long + short
    assert counts == [1, 2, 44, 3] and halves == [1, 2, 1, 2]
EOF
