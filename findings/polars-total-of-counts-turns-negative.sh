#!/usr/bin/env bash
# Expected: the sum of a column of 32-bit counts is widened to 64 bits, as numpy,
# pandas and SQL do, and as polars itself does for 8 and 16 bits.
#
# What happens: polars widens 8 and 16 bits and lets 32 wrap without a word: 2.5
# thousand million UMIs add up to -1,794,967,296. The mean of the same column is
# right, and so is the sum of the same numbers stored in 16 bits: the wider
# column gives the wrong total. Sums per group and in polars' SQL wrap too.
#
# Version: polars 2.1.0.
# Matters to: totals of counts. 500,000 cells with 5,000 molecules each pass the
# limit; an unsigned column wraps to a number that looks right.
# Source: polars Series.sum and Expr.sum; the documentation promises the widening
# for Int8, UInt8, Int16 and UInt16 only.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'polars==2.1.0' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, polars as pl

print("guess: a sum of 32-bit counts is widened as one of 16-bit counts is")
print("versions: polars", pl.__version__, "numpy", np.__version__)
each = 5_000
cases = [(500_000, pl.Int16), (500_000, pl.Int32), (500_000, pl.Int64), (1_000_000, pl.UInt32)]
for cells, dtype in cases:
    right = cells * each
    wrapped = {pl.Int32: (right + 2**31) % 2**32 - 2**31, pl.UInt32: right % 2**32}.get(dtype, right)
    table = pl.DataFrame({"donor": np.zeros(cells, "i8"), "umi": pl.Series(np.full(cells, each)).cast(dtype)})
    total = table["umi"].sum()
    grouped = table.group_by("donor").agg(pl.col("umi").sum())["umi"].item()
    by_sql = pl.SQLContext(cells=table).execute("select sum(umi) from cells", eager=True).item()
    in_numpy = int(table["umi"].to_numpy().sum())
    print(f"seen: {cells:,} cells, {dtype}: polars {total:,}, per group {grouped:,}, SQL {by_sql:,}, "
          f"mean times rows {table['umi'].mean() * cells:,.0f}, numpy {in_numpy:,}")
    assert total == grouped == by_sql == wrapped
    assert in_numpy == right and table["umi"].mean() == each
    assert (wrapped != right) == (dtype in (pl.Int32, pl.UInt32))
EOF
