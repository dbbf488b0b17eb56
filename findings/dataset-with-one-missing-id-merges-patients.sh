#!/usr/bin/env bash
# Expected: a column of int64 in a Dataset, read in the format "numpy", is int64;
# with a missing entry it is float64 with NaN, as in pandas, exact to 2^53.
#
# What happens: with one missing entry it is float32. Identifiers of eight digits
# and dates such as 20240131 are then rounded to even numbers and beyond: different
# patients have one identifier. Without a missing entry the same column is exact
# int64, and to_pandas gives float64 with the right numbers from the same dataset.
#
# Version: datasets 5.2.0.
# Matters to: joins of modalities by numeric identifiers, time stamps and counts;
# whether numbers are right depends on whether another row is empty.
# Source: datasets/formatting/np_formatter.py, NumpyFormatter._tensorize: the
# missing entry has made the array one of floats, and floats become float32.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'datasets==5.2.0' 'pandas==3.1.1' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import os
os.environ |= {"HF_HOME": os.path.abspath("cache"), "HF_HUB_OFFLINE": "1"}
import datasets, numpy as np

print("guess: int64 with a missing entry arrives as float64")
print("versions: datasets", datasets.__version__, "numpy", np.__version__)
patients = [20240131, 20240132, 20240133, 16777217, 16777216]
for ids in (patients, patients + [None]):
    table = datasets.Dataset.from_dict({"patient": ids})
    assert table.features["patient"].dtype == "int64"
    array = table.with_format("numpy")["patient"][:]
    kept = len(np.unique(array[~np.isnan(array)]))
    by_pandas = table.to_pandas()["patient"].dropna().nunique()
    print(f"seen: {len(ids) - len(patients)} missing: {array.dtype} {array.tolist()}: "
          f"{kept} of 5 patients distinct, by pandas {by_pandas}")
    assert by_pandas == 5
    assert (array.dtype, kept) == (("float32", 2) if None in ids else ("int64", 5))
EOF
