#!/usr/bin/env bash
# Expected: rows whose site is missing are in no group, as in pandas, or in a group of
# their own; the same in all summaries of one and the same dask groupby.
#
# What happens: groupby("site").x.mean(), var() and std() have a group for the rows
# without a site, and sum, count, size, min, max, first, median and nunique have none; and
# neither has groupby("site").x.agg("mean"), so that the two ways to write a mean disagree.
# It is so for numbers, texts and categories. A mean over sites, or a variance between
# them, then counts the rest as one more site. With dropna said, True or False, all agree,
# but for nunique, which has no such group with dropna=False either.
#
# Version: dask 2026.8.0 with pandas 3.1.1.
# Matters to: summaries by site, donor or batch where some rows have no label.
# Source: dask/dataframe/dask_expr/_groupby.py, _mean_chunk, and Var with
# dask/dataframe/groupby.py: they hand the None of "not said" on to pandas, where it
# counts as False, and the others leave it out.
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
print("guess: all summaries of one groupby have the same groups")
print("versions: dask", dask.__version__, "pandas", pd.__version__)
rng = np.random.default_rng(0)
number = rng.integers(1, 6, size=1000).astype(float)
x = rng.normal(size=1000) + number / 10
unknown = rng.random(1000) < 0.1
x[unknown] += 30
number[unknown] = np.nan
text = pd.Series([None if np.isnan(n) else f"site {n:.0f}" for n in number])
columns = {"numbers": number, "texts": text, "categories": text.astype("category")}
names = ("sum", "count", "size", "min", "max", "first", "median", "nunique", "mean", "var", "std")

for kind, site in columns.items():
    table = pd.DataFrame({"site": site, "x": x})
    divided = dd.from_pandas(table, npartitions=4)
    for said in (None, True, False):
        options = {} if said is None else {"dropna": said}
        groups = {name: len(getattr(divided.groupby("site", observed=True, **options).x, name)().compute()) for name in names}
        groups["agg('mean')"] = len(divided.groupby("site", observed=True, **options).x.agg("mean").compute())
        in_pandas = {len(getattr(table.groupby("site", observed=True, **options).x, name)()) for name in names}
        print(f"seen: {kind}, dropna {'not said' if said is None else said}: "
              f"six groups in {[name for name in groups if groups[name] == 6]}, in pandas {in_pandas} groups")
        assert set(groups.values()) <= {5, 6} and in_pandas == ({6} if said is False else {5})
        six = {None: {"mean", "var", "std"}, True: set(), False: set(groups) - {"nunique"}}[said]
        assert {name for name in groups if groups[name] == 6} == six

table = pd.DataFrame({"site": number, "x": x})
divided = dd.from_pandas(table, npartitions=4)
means = [divided.groupby("site").x.mean().compute().mean(), divided.groupby("site").x.agg("mean").compute().mean(),
         table.groupby("site").x.mean().mean()]
print("seen: mean of the sites' means {:.2f}, by agg {:.2f}, in pandas {:.2f}".format(*means))
assert means[0] > 5 and np.isclose(means[1], means[2]) and abs(means[2]) < 1
PY
