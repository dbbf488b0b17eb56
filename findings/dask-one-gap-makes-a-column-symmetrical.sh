#!/usr/bin/env bash
# Expected: skew and kurtosis of a dask column with missing values are those of the values
# that are there, as mean, var and std of the same column are; or NaN, since a note says
# that missing values are not filtered out, and the policy for them is called "propagate".
#
# What happens: one missing value, or as many as one likes, gives a skewness of exactly 0
# and a kurtosis of exactly -3 in a table, whatever the column, and NaN when the column is
# taken out of the table first. A kurtosis cannot be below -2, and 0 is what symmetrical
# columns have: a choice of columns to take logarithms of, by their skewness, passes over
# all that have a gap.
#
# Version: dask 2026.8.0.
# Matters to: tables in which every assay misses somebody: all of them count as
# symmetrical, and those without a gap alone are judged by their values.
# Source: dask/dataframe/dask_expr/_collection.py, skew and kurtosis, which fill in 0 for
# NaN in what they have computed for a table, meant for columns that do not vary.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'dask[dataframe]==2026.8.0' 'numpy==2.4.6' 'pandas==3.1.1' 'pyarrow==26.0.1' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import dask, dask.dataframe as dd, numpy as np, pandas as pd
from scipy import stats

dask.config.set(scheduler="synchronous")
print("guess: skew and kurtosis are those of the values that are there, or NaN")
print("versions: dask", dask.__version__, "pandas", pd.__version__)
rng = np.random.default_rng(0)
table = pd.DataFrame({name: rng.lognormal(size=4000) for name in ("whole", "one gap", "half")})
table["normal, one gap"] = rng.normal(size=4000)
for name, missing in (("one gap", 1), ("half", 2000), ("normal, one gap", 1)):
    table.loc[rng.choice(4000, missing, replace=False), name] = np.nan
divided = dd.from_pandas(table, npartitions=4)

skew, kurtosis = divided.skew().compute(), divided.kurtosis().compute()
for name in table:
    values = table[name].dropna()
    print(f"seen: {name}: mean {divided[name].mean().compute():.2f} of {values.mean():.2f}, skew {skew[name]:.2f} of "
          f"{stats.skew(values):.2f}, kurtosis {kurtosis[name]:.2f} of {stats.kurtosis(values):.2f}")
    assert np.isclose(divided[name].mean().compute(), values.mean()) and np.isclose(divided[name].std().compute(), values.std())
    alone = divided[name].skew().compute(), divided[name].kurtosis().compute()
    if name == "whole":
        assert np.allclose([skew[name], kurtosis[name]], [stats.skew(values), stats.kurtosis(values)])
        assert np.allclose([skew[name], kurtosis[name]], alone)
    else:
        print(f"seen: the same column alone: skew {alone[0]}, kurtosis {alone[1]}")
        assert np.isnan(alone).all()
        assert skew[name] == 0 and kurtosis[name] == -3
chosen = list(skew[skew > 1].index)
print("seen: columns with a skewness above 1:", chosen, "in pandas:", list(table.skew()[table.skew() > 1].index))
assert chosen == ["whole"] and list(table.skew()[table.skew() > 1].index) == ["whole", "one gap", "half"]
PY
