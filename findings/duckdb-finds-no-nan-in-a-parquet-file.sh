#!/usr/bin/env bash
# Expected: `WHERE isnan(x)` finds the same rows of a table in memory and of the
# Parquet file of that table; and since DuckDB orders NaN above all numbers, NaN
# is among the rows of `x > 40` in both.
#
# What happens: `SELECT x` reads 9951 NaN from the file, and isnan(x), as a
# condition or in a count, finds none of them. The statistics of a row group leave
# NaN out, and from minimum and maximum it is concluded that there is no NaN before
# any value is read. Whether NaN is in `x > 40` depends on what else lies in its row
# group, so the same rows in smaller groups give another answer, and `x > 40` and
# `x <= 40` together lose rows. Files
# of polars and of pyarrow are read so; a file that DuckDB wrote has no such
# statistics, and is read rightly, as are all with read_parquet's can_have_nan=true.
#
# Version: duckdb 2.0.1, with files of polars 2.1.0 and pyarrow 26.0.1.
# Matters to: NaN as the mark of a missing measurement, which is what arrays and
# encoders write: a query for incomplete rows says that there are none, and a split
# by a threshold leaves some rows in neither part.
# Source: filters that are pushed into the scan of Parquet, and its comparison with
# the minimum and maximum of a row group.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'duckdb==2.0.1' 'polars==2.1.0' 'pyarrow==26.0.1' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import duckdb, numpy as np, polars as pl, pyarrow as pa, pyarrow.parquet as pq

print("guess: a table and its Parquet file have the same rows WHERE isnan(x)")
print("versions: duckdb", duckdb.__version__, "polars", pl.__version__, "pyarrow", pa.__version__)

rng = np.random.default_rng(0)
x = rng.normal(50, 5, 200_000)
x[rng.random(len(x)) < 0.05] = np.nan
x[120_000:] -= 30
patients = pa.table({"x": x})
missing, high = int(np.isnan(x).sum()), int((x > 40).sum())

pl.from_arrow(patients).write_parquet("polars.parquet", row_group_size=50_000)
pq.write_table(patients, "pyarrow.parquet", row_group_size=50_000)
pq.write_table(patients, "small.parquet", row_group_size=500)
duckdb.sql("COPY (SELECT * FROM patients) TO 'duckdb.parquet'")

def count(source, what):
    return duckdb.sql(f"SELECT {what.format(source=source)}").fetchall()[0][0]

def counts(source):
    read = duckdb.sql(f"SELECT x FROM {source}").fetchnumpy()["x"]
    return [int(np.isnan(np.ma.filled(read, 0)).sum())] + [count(source, what) for what in (
        "count_if(isnan(x)) FROM {source}", "count(*) FROM {source} WHERE isnan(x)",
        "count(*) FROM {source} WHERE x = 'nan'::DOUBLE",
        "count(*) FROM {source} WHERE x > 40", "count(*) FROM {source} WHERE x <= 40")]

print(f"seen: {len(x)} rows, {missing} of them NaN, {high} numbers above 40")
seen = {source: counts(source) for source in
        ("patients", "'duckdb.parquet'", "'polars.parquet'", "'pyarrow.parquet'", "'small.parquet'",
         "read_parquet('small.parquet', can_have_nan=true)")}
for source, (read, count_nan, where_nan, equal_nan, above, below) in seen.items():
    print(f"seen: {source}: {read} NaN read, count_if(isnan) {count_nan}, WHERE isnan {where_nan}, WHERE = nan {equal_nan}, "
          f"WHERE > 40 {above}, WHERE <= 40 {below}, in neither {len(x) - above - below}")
assert all(row[0] == missing for row in seen.values())
for source in ("patients", "'duckdb.parquet'", "read_parquet('small.parquet', can_have_nan=true)"):
    assert seen[source][1:4] == [missing] * 3 and seen[source][4] == high + missing
for source in ("'polars.parquet'", "'pyarrow.parquet'", "'small.parquet'"):
    assert seen[source][1:4] == [0, 0, 0]
assert seen["patients"] != seen["'small.parquet'"] and sum(seen["'small.parquet'"][4:]) < len(x) == sum(seen["patients"][4:])
EOF
