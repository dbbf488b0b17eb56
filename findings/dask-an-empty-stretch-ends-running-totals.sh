#!/usr/bin/env bash
# Expected: cumsum, cumprod, cummax and cummin of a dask table are those of pandas, which
# go on after missing values, however the rows are divided.
#
# What happens: if a column has no value in one partition, it is NaN in all rows of all
# partitions after that one, and so is every row when it is the first partition that has
# none. Integers beside it become floats. It goes wrong for tables only: the column alone,
# table["x"].cumsum(), is right; and since dask moves the choice of columns forward,
# table.cumsum()["x"].compute() is right while table.cumsum().compute()["x"] is not, and
# likewise for cumprod (cummax and cummin of the column alone raise an error). The same
# rows in fewer partitions are right as well.
#
# Version: dask 2026.8.0.
# Matters to: sensors in one table of time: partitions are hours or days, and a device
# that was off for one of them has no total, no maximum so far and no minimum afterwards.
# Source: dask/dataframe/dask_expr/_cumulative.py, TakeLast, which passes over an empty
# stretch only when what it is given has one dimension.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'dask[dataframe]==2026.8.0' 'numpy==2.4.6' 'pandas==3.1.1' 'pyarrow==26.0.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import dask, dask.dataframe as dd, numpy as np, pandas as pd

dask.config.set(scheduler="synchronous")
print("guess: running totals of a dask table are those of pandas")
print("versions: dask", dask.__version__, "pandas", pd.__version__)
rng = np.random.default_rng(0)
table = pd.DataFrame({"steps": rng.integers(0, 100, size=240),
                      "watch": rng.uniform(0.9, 1.2, size=240), "belt": rng.uniform(0.9, 1.2, size=240)})
table.loc[rng.choice(240, 60, replace=False), "watch"] = np.nan
table.loc[100:139, "watch"] = np.nan
table.loc[0:19, "belt"] = np.nan

for name in ("cumsum", "cumprod", "cummax", "cummin"):
    whole = getattr(table, name)()
    for parts in (12, 2):
        divided = dd.from_pandas(table, npartitions=parts)
        late = getattr(divided, name)().compute()
        print(f"seen: {name}, {parts} partitions: pandas has {whole.watch.count()} values of the watch and "
              f"{whole.belt.count()} of the belt, dask {late.watch.count()} and {late.belt.count()}")
        assert name == "cumprod" or (late.steps == whole.steps).all()
        if parts == 2:
            assert np.allclose(late[["watch", "belt"]], whole[["watch", "belt"]], equal_nan=True)
        else:
            assert np.allclose(late.watch[:100], whole.watch[:100], equal_nan=True)
            assert late.watch[100:].isna().all() and late.belt.isna().all()
        for column in ("watch", "belt") if name in ("cumsum", "cumprod") else ():
            early = getattr(divided, name)()[column].compute()
            alone = getattr(divided[column], name)().compute()
            assert np.allclose(early, whole[column], equal_nan=True) and np.allclose(alone, whole[column], equal_nan=True)
print("seen: totals and products of a column are right when it is chosen before compute(), in front of cumsum or behind it")
assert dd.from_pandas(table, npartitions=12).cumsum().compute().steps.dtype.kind == "f" and table.cumsum().steps.dtype.kind == "i"
PY
