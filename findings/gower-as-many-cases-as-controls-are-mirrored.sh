#!/usr/bin/env bash
# Expected: gower_matrix(cases, controls) holds in row i and column j the distance of case i from
# control j, whatever the number of rows of either table.
#
# What happens: when both tables have the same number of rows they are taken for one and the same.
# Only distances on and above the diagonal are computed, and those below it are copies of them:
# place (5, 2) holds the distance of case 2 from control 5. One control more, and everything is
# right. Matched pairs are drawn in equal numbers, so that this is the usual case: of 20 patients
# most get another control as the nearest one.
#
# Version: gower 0.1.2 (the newest).
# Matters to: mixed tables of patients, of which controls are matched, or rows with missing values
# are compared with complete ones.
# Source: gower/gower_dist.py, gower_matrix: j_start = i and `if x_n_rows == y_n_rows:
# out[i:, j_start] = res`, while whether data_y was given is not looked at.
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

print("guess: the distances of 20 cases from 20 controls are those that they have among 21 controls")
print("versions: gower", version("gower"), "numpy", np.__version__, "pandas", pd.__version__)

rng = np.random.default_rng(0)

def people(n):
    return pd.DataFrame({"age": rng.integers(30, 80, n).astype(float), "crp": rng.gamma(2.0, 5.0, n)})

cases, controls = people(20), people(21)
# The last control lies between others, so that no range changes with it.
controls.loc[20] = controls.loc[:19].mean()
ranges = pd.concat([cases, controls]).agg(np.ptp)
real = (np.abs(cases.to_numpy()[:, None] - controls.to_numpy()[None]) / ranges.to_numpy()).mean(2)

of_21 = gower.gower_matrix(cases, controls)
print(f"seen: among 21 controls the largest error is {np.abs(of_21 - real).max():.0e}")
assert np.abs(of_21 - real).max() < 1e-5

of_20 = gower.gower_matrix(cases, controls[:20])
error = np.abs(of_20 - real[:, :20])
above, below = error[np.triu_indices(20)].max(), error[np.tril_indices(20, -1)]
same = (of_20.argmin(1) == real[:, :20].argmin(1)).mean()
print(f"seen: among 20 it is {above:.0e} on and above the diagonal, and below it {below.max():.2f}, "
      f"{below.mean():.2f} in the mean; the nearest control is right for {same:.0%} of the cases")
assert above < 1e-5 and below.max() > 0.5 and below.mean() > 0.1 and same < 0.5
assert np.array_equal(of_20, of_20.T)
print("seen: the matrix of two different tables is symmetrical")
PY
