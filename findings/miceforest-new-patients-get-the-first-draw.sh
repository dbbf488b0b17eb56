#!/usr/bin/env bash
# Expected: a kernel that imputes its own rows well imputes new rows as well:
# `kernel.impute_new_data(new).complete_data()` has the values of the last iteration.
#
# What happens: it has the values that imputation begins with, which are drawn from the column
# whatever the rest of the row says: they correlate with the truth by 0.0, where those of the
# kernel correlate by 0.96. The models are right, and what they say is kept: with
# `complete_data(iteration=4)`, the number said by hand, it is there. Between two incomplete columns
# nothing is passed on either, since each iteration begins from the same first draw. No warning; the
# table has the right shape and distribution. Rows of the training itself, given as new, fare alike.
#
# Version: miceforest 6.0.5 (the newest), with lightgbm 4.5.0; 6.0.3 does the same.
# Matters to: a table of a study imputed, and then the patients of the next day, a test set or
# another modality by the same kernel.
# Source: miceforest/imputation_kernel.py, impute_new_data, which never counts its iterations in
# the iteration_tab of the result, so that `iteration=-1` of complete_data is iteration 0.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'miceforest==6.0.5' 'lightgbm==4.5.0' 'numpy==2.2.6' 'pandas==2.2.3' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version
import miceforest
import numpy as np
import pandas as pd

print("guess: values of new rows are as good as those of the rows that were learned from")
print("versions: miceforest", version("miceforest"), "lightgbm", version("lightgbm"), "pandas", pd.__version__)

rng = np.random.default_rng(0)

def patients(n):
    """A marker that follows the age closely, and something else."""
    age = rng.normal(60, 10, n)
    return pd.DataFrame({"age": age, "marker": age / 10 + rng.normal(0, 0.1, n), "other": rng.normal(size=n)})

def without(table, rows):
    return table.assign(marker=table.marker.where(~table.index.isin(rows)))

def agreement(imputed, table, rows):
    return np.corrcoef(imputed.marker[rows], table.marker[rows])[0, 1]

study, new = patients(400), patients(200)
lost, wanted = study.index[::4], new.index[::2]
kernel = miceforest.ImputationKernel(without(study, lost), num_datasets=1, random_state=0)
kernel.mice(4, verbose=False)
own = agreement(kernel.complete_data(), study, lost)
print(f"seen: rows of the study: imputed and real values correlate by {own:.2f}")
assert own > 0.9

result = kernel.impute_new_data(without(new, wanted))
found = agreement(result.complete_data(), new, wanted)
print(f"seen: new rows: {found:.2f}, by a result that counts {result.iteration_count()} iterations")
assert abs(found) < 0.3 and result.iteration_count() == 0
said = agreement(result.complete_data(iteration=kernel.iteration_count()), new, wanted)
print(f"seen: new rows, complete_data(iteration={kernel.iteration_count()}): {said:.2f}")
assert said > 0.9

again = agreement(kernel.impute_new_data(without(study, lost)).complete_data(), study, lost)
print(f"seen: rows of the study, given as new: {again:.2f}")
assert abs(again) < 0.3
PY
