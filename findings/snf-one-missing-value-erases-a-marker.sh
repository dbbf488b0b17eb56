#!/usr/bin/env bash
# Expected: one missing value of one patient concerns that patient: the others are as similar to
# each other as before. Missing values are accepted, so they are dealt with somehow.
#
# What happens: the marker with the missing value is 0 for every patient, and all similarities
# are those of a table without what it told; with one missing value in every marker all patients
# are equal. The result has no NaN and there is no warning. A patient without any value
# at all, on the other hand, is left out alone and properly.
#
# Version: snfpy 0.2.2 with scikit-learn 1.7.2 (newer ones no longer have the argument it uses).
# Matters to: similarity network fusion of several modalities, where some values are missing
# from every table: the more patients there are, the fewer markers are left.
# Source: snf/compute.py, make_affinity: nan_to_num(zscore(...)): a column with a NaN has no
# z-scores but NaN, and these are replaced by 0.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'snfpy==0.2.2' 'scikit-learn==1.7.2' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore::FutureWarning - <<'PY'
from importlib.metadata import version
import numpy as np
from sklearn.cluster import spectral_clustering
from snf import make_affinity, snf

print("guess: a value that one patient lacks leaves the other patients as they are")
print("versions: snfpy", version("snfpy"), "scikit-learn", version("scikit-learn"), "numpy", np.__version__)
rng = np.random.default_rng(0)
group = np.repeat([0, 1], 50)
tables = [rng.normal(size=(100, 4)) for _ in range(2)]
for table in tables:
    table[:, 0] += 5 * group  # one marker tells the two groups apart, three tell nothing
others = np.arange(100) != 7
pairs = np.ix_(others, others)

def found(tables):
    """Share of patients in their own group after fusion and clustering."""
    fused = snf([make_affinity(table) for table in tables])
    cluster = spectral_clustering(fused, n_clusters=2, random_state=0)
    return max((cluster == group).mean(), (cluster != group).mean())

def without(table, markers):
    """The table without these markers of patient 7."""
    holed = table.copy()
    holed[7, markers] = np.nan
    return holed

holes = [without(table, [0]) for table in tables]
print("seen: values missing:", [int(np.isnan(t).sum()) for t in holes], "of", [t.size for t in holes])
whole, hole = make_affinity(tables[0]), make_affinity(holes[0])
erased = make_affinity(np.c_[np.zeros(100), tables[0][:, 1:]])
print(f"seen: similarities of the 99 other patients, with and without it: "
      f"correlation {np.corrcoef(whole[pairs].ravel(), hole[pairs].ravel())[0, 1]:.2f}, "
      f"the same as with the marker set to 0: {np.array_equal(hole, erased)}, NaN: {np.isnan(hole).any()}")
assert np.array_equal(hole, erased) and not np.allclose(hole[pairs], whole[pairs])
before, after = found(tables), found(holes)
print(f"seen: patients in their own group: {before:.2f} with all values, {after:.2f} with one missing per table")
assert before > 0.95 and after < 0.7
several = make_affinity(np.where(np.eye(100, 4) == 1, np.nan, tables[0]))
print(f"seen: four patients lack one marker each, all different: similarities from {several.min():.3g} to {several.max():.3g}")
assert several.min() == several.max()
empty = np.isnan(make_affinity(without(tables[0], [0, 1, 2, 3])))
print("seen: a patient without any value: patients with NaN throughout:", np.flatnonzero(empty.all(axis=0)).tolist(),
      "NaN among the others:", empty[pairs].any())
assert empty.all(axis=0).sum() == 1 and not empty[pairs].any()
PY
