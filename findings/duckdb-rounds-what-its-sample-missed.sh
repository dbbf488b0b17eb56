#!/usr/bin/env bash
# Expected: a pandas column of Python numbers (whole and broken ones, or the Decimals
# in which data bases return NUMERIC) comes into DuckDB with its values, as it does
# into Arrow and polars; a value that does not fit the inferred type is refused, as
# the documentation of the inference says and as happens with too many digits.
#
# What happens: the type is inferred from every n-th row, a thousand of them, and what
# the sample missed is rounded to it. A troponin of 0.04 among values with one decimal
# is 0.0, 0.4 among whole numbers is 0, a list [1.5, 2.7] is [2, 3], "1.7" is 2, and a
# moment becomes midnight. Whether a value survives depends on its row: the same
# column with the value one row earlier is read rightly. Nothing is said.
#
# Version: duckdb 2.0.1, pandas 2.3.3; beside pyarrow 26.0.1 and polars 2.1.0.
# Matters to: laboratory values and scores that come out of data bases, JSON or a
# long table of mixed measurements: the rare precise or abnormal value is the one that
# is rounded away, and a threshold no longer finds the patient.
# Source: the analysis of pandas columns of objects (pandas_analyze_sample, 1000 by
# default) and the cast to its result. A larger sample reads all rightly.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'duckdb==2.0.1' 'pandas==2.3.3' 'polars==2.1.0' 'pyarrow==26.0.1' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
from datetime import date, datetime
from decimal import Decimal
import duckdb, pandas as pd, polars as pl, pyarrow as pa

print("guess: the values of a column arrive, or are refused")
print("versions: duckdb", duckdb.__version__, "pandas", pd.__version__, "polars", pl.__version__,
      "pyarrow", pa.__version__)

def column(usual, rare, row):
    values = pd.Series([usual] * 5000, dtype=object)
    values.at[row] = rare
    return pd.DataFrame({"x": values})

def in_duckdb(usual, rare, row):
    people = column(usual, rare, row)
    return duckdb.sql(f"select typeof(x), x from people limit 1 offset {row}").fetchall()[0]

cases = [(Decimal("1.5"), Decimal("0.04"), Decimal("0.0")), (Decimal("3"), Decimal("0.4"), Decimal("0")),
         (3, 0.4, 0), ([1, 2], [1.5, 2.7], [2, 3]), ({"dose": 1}, {"dose": 1.7}, {"dose": 2}), (3, "1.7", 2),
         (date(2026, 1, 1), datetime(2026, 1, 2, 13, 5), date(2026, 1, 2))]
for usual, rare, becomes in cases:
    kind, value = in_duckdb(usual, rare, 4321)
    print(f"seen: {rare!r} among 4999 of {usual!r}: {kind}, {value!r}")
    assert value == becomes and type(value) is type(becomes)

rare = Decimal("0.04")
earlier, arrow = in_duckdb(Decimal("1.5"), rare, 4320), pa.Table.from_pandas(column(Decimal("1.5"), rare, 4321))["x"][4321]
print(f"seen: the same Decimal one row earlier {earlier}; in Arrow {arrow}; "
      f"in polars {pl.from_pandas(column(Decimal('1.5'), rare, 4321))['x'][4321]}")
assert earlier[1] == arrow.as_py() == pl.from_pandas(column(Decimal("1.5"), rare, 4321))["x"][4321] == rare

# Every tenth of the patients has a value below 0.1, in rows between those of the sample.
people = pd.DataFrame({"troponin": pd.Series([Decimal("0.04") if row % 10 == 3 else Decimal("0.2")
                                              for row in range(20_000)], dtype=object)})
query = "select count(*) from people where troponin between 0.01 and 0.1"
found = duckdb.sql(query).fetchall()[0][0]
duckdb.execute("set global pandas_analyze_sample = 20000")
print(f"seen: {found} of 2000 patients between 0.01 and 0.1; with a sample of all rows {duckdb.sql(query).fetchall()[0][0]}")
assert found == 0 and duckdb.sql(query).fetchall()[0][0] == 2000

duckdb.execute("set global pandas_analyze_sample = 1000")
try:
    in_duckdb(Decimal("1.5"), Decimal("12.5"), 4321)
    raise SystemExit("taken")
except duckdb.Error as refusal:
    print("seen: 12.5 among 1.5 is refused:", str(refusal).split(": ", 2)[-1])
EOF
