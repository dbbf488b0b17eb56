#!/usr/bin/env bash
# Expected: an ordered categorical column (none < mild < moderate < severe) is
# either ordered for everything, as in pandas, or text for everything.
#
# What happens: DuckDB takes it over as ENUM with the right order, and ORDER BY,
# min, max and comparisons of two columns follow it. A comparison with a literal
# goes by the alphabet: `stage >= 'moderate'` finds `none`. One query can sort
# rightly and select wrongly. Through an Arrow table of the same column even ORDER
# BY is alphabetical. polars drops the order on the way in: sort, max and
# comparisons all go by the alphabet, and categories that no row has are gone.
#
# Version: duckdb 2.0.1, polars 2.1.0, pandas 2.3.3, pyarrow 26.0.1.
# Matters to: ordinal labels (stages, grades, severity) that pass several tables'
# libraries on their way into a data set: cohorts hold the wrong people.
# Source: DuckDB, ENUM: a comparison with VARCHAR casts the ENUM to text; polars
# from_pandas and from_arrow: dictionaries become Categorical, not Enum.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'duckdb==2.0.1' 'polars==2.1.0' 'pandas==2.3.3' 'pyarrow==26.0.1' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import duckdb, pandas as pd, polars as pl, pyarrow as pa

print("guess: a comparison agrees with the sorted order, in every library")
print("versions: duckdb", duckdb.__version__, "polars", pl.__version__, "pandas", pd.__version__,
      "pyarrow", pa.__version__)
order = ["none", "mild", "moderate", "severe", "fatal"]
people = pd.DataFrame({"stage": pd.Categorical(["mild", "none", "severe", "moderate"], order, ordered=True)})
arrow = pa.Table.from_pandas(people)
frame = pl.from_pandas(people)

def names(query):
    return [row[0] for row in duckdb.sql(query).fetchall()]

at_least = "where stage >= 'moderate'"
seen = {
    "pandas": (people.stage.sort_values().tolist(), sorted(people.stage[people.stage >= "moderate"])),
    "DuckDB, pandas": (names("select stage from people order by stage"),
                       sorted(names(f"select stage from people {at_least}"))),
    "DuckDB, Arrow": (names("select stage from arrow order by stage"),
                      sorted(names(f"select stage from arrow {at_least}"))),
    "polars": (frame.sort("stage")["stage"].to_list(),
               sorted(frame.filter(pl.col("stage") >= "moderate")["stage"].to_list())),
}
right, alphabet = order[:4], sorted(order[:4])
for how, (ordered, selected) in seen.items():
    print(f"seen: {how}: sorted {ordered}; at least moderate: {selected}")
    assert ordered == (right if how in ("pandas", "DuckDB, pandas") else alphabet), how
    assert selected == (["moderate", "severe"] if how == "pandas" else ["moderate", "none", "severe"]), how

pairs = duckdb.sql("select a.stage, b.stage from people a join people b on a.stage < b.stage").fetchall()
assert all(order.index(a) < order.index(b) for a, b in pairs) and len(pairs) == 6
back = frame.to_pandas().stage.cat
print("seen: DuckDB compares two columns by stage; back from polars: ordered", back.ordered, "categories", list(back.categories))
assert not back.ordered and "fatal" not in back.categories
EOF
