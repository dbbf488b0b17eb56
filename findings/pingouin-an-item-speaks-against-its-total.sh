#!/usr/bin/env bash
# Expected: the partial correlation of an item of a questionnaire with the total, the other items
# held fixed, is 1: what is left of the total is the item. Or it is refused, or NaN.
#
# What happens: it is -0.23, with an interval that excludes 0 and a p-value of 7e-05, so that more of
# the item goes with less of the total. Covariances of a sum and all its parts have no inverse; the
# pseudoinverse that is taken in its place does not hold partial correlations then, unless what
# depends on each other are covariates alone, for which it is right. The same for a matrix of all
# partial correlations. Noise of a millionth on the total gives 1, since then there is an inverse.
#
# Version: pingouin 0.7.0 (the newest).
# Matters to: scores beside their parts, compositions and volumes of regions beside the whole, any
# modality with derived columns.
# Source: pingouin/correlation.py, partial_corr and pcorr: np.linalg.pinv of the covariance.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'pingouin==0.7.0' 'numpy==2.4.6' 'pandas==3.1.1' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version
import numpy as np
import pandas as pd
import pingouin

print("guess: given the other items, an item and the total correlate by 1")
print("versions: pingouin", version("pingouin"), "numpy", np.__version__, "pandas", pd.__version__)

rng = np.random.default_rng(0)
table = pd.DataFrame(rng.integers(0, 5, (300, 4)), columns=["sleep", "pain", "mood", "fatigue"])
table["total"] = table.sum(axis=1)
others = ["pain", "mood", "fatigue"]

def residuals(column, given):
    design = np.column_stack([np.ones(len(table)), table[given]])
    return table[column] - design @ np.linalg.lstsq(design, table[column], rcond=None)[0]

real = np.corrcoef(residuals("sleep", others), residuals("total", others))[0, 1]
found = pingouin.partial_corr(table, x="sleep", y="total", covar=others).iloc[0]
print(f"seen: sleep and total given the others: {found.r:.2f}, p = {found.p_val:.0e}; by residuals {real:.2f}")
assert found.r < -0.2 and found.p_val < 1e-4 and real > 0.999

whole = table.pcorr().loc["sleep", "total"]
print(f"seen: in the matrix of all partial correlations: {whole:.2f}")
assert whole < -0.2

noisy = table.assign(total=table.total + rng.normal(0, 1e-6, 300))
r = pingouin.partial_corr(noisy, x="sleep", y="total", covar=others).r.iloc[0]
print(f"seen: with noise of a millionth on the total: {r:.2f}")
assert r > 0.99

# A covariate twice, in other units, is dealt with.
twice = table.assign(minutes=60 * table.pain)
same = [pingouin.partial_corr(twice, x="sleep", y="mood", covar=c).r.iloc[0] for c in (["pain"], ["pain", "minutes"])]
assert np.isclose(*same)
PY
