#!/usr/bin/env bash
# Expected: a number is compared by its distance as a share of the range of its column, so that
# adding a constant to a column changes nothing (Gower 1971).
#
# What happens: a column whose largest value is exactly 0 is left out, as if all values were the
# same, while distances are still divided by the number of all columns: T-scores of bone density
# of patients of whom the best has 0, depths below a surface, log-probabilities, changes since a
# baseline that nobody exceeds. With 0.1 added to everyone it counts in full.
#
# Version: gower 0.1.2 (the newest).
# Matters to: mixed tables with differences and logarithms in them, where one patient decides
# whether the column is there.
# Source: gower/gower_dist.py, gower_matrix: values are divided by the largest first, the range is
# |1 - min / max| and is said to be 0 where the largest is 0.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'gower==0.1.2' 'numpy==2.4.6' 'pandas==3.1.1' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version
import gower
import numpy as np
import pandas as pd

print("guess: where the zero of a column lies does not matter")
print("versions: gower", version("gower"), "numpy", np.__version__, "pandas", pd.__version__)

table = pd.DataFrame({"age": [50.0, 52.0, 55.0, 70.0], "t_score": [-4.0, -0.5, -3.8, 0.0]})
moved = table.assign(t_score=table.t_score + 0.1)
alone = gower.gower_matrix(table[["age"]])
ends, counts = gower.gower_matrix(table), gower.gower_matrix(moved)
print("seen: of the first patient, with t-scores to 0:", ends[0].round(3), "and to 0.1:", counts[0].round(3))
assert np.allclose(ends, alone / 2)
real = np.abs(np.subtract.outer(moved.t_score.to_numpy(), moved.t_score.to_numpy())) / 4
assert np.allclose(counts, (alone + real) / 2, atol=1e-5)
print("seen: the nearest to the first patient is number", np.argsort(ends[0])[1], "and number", np.argsort(counts[0])[1])
assert np.argsort(ends[0])[1] == 1 and np.argsort(counts[0])[1] == 2
PY
