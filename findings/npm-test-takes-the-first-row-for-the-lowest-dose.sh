#!/usr/bin/env bash
# Expected: a test for groups that are "simply ordered", such as doses, takes the order
# from the column: from an ordered categorical its categories, from numbers their size.
#
# What happens: posthoc_npm_test of scikit-posthocs takes the groups in the order in which
# they first occur in the table, also for ordered categoricals and for numbers. The very
# same measurements, whose p-value for the lowest against the highest dose is 0.00, have
# one of 1.00 in a table that is shuffled or begins with the highest dose. The labels of
# the result are those of the groups, so nothing shows it, and Dunn's test beside it, as
# nearly all tests of the package, does not depend on the order of rows. With sort=True,
# which is not said to be necessary, an ordered categorical or numbers are right, and texts
# follow the alphabet: high, low, none.
#
# Version: scikit-posthocs 0.17.1.
# Matters to: tables that are joined from several sources, in which the order of rows is
# that of the first source: doses, stages and grades come in any order.
# Source: scikit_posthocs/_posthocs.py, posthoc_npm_test: groups = x[_group_col].unique().
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scikit-posthocs==0.17.1' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1' 'statsmodels==0.15.0'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import importlib.metadata, numpy as np, pandas as pd, scikit_posthocs

print("guess: the order of the doses is that of the column, whatever the order of rows")
print("versions: scikit-posthocs", importlib.metadata.version("scikit-posthocs"), "pandas", pd.__version__)
rng = np.random.default_rng(0)
doses = ["none", "low", "high"]
code = np.repeat([0, 1, 2], 15)
table = pd.DataFrame({"dose": pd.Categorical.from_codes(code, doses, ordered=True), "milligram": code * 10.0,
                      "answer": rng.normal(size=45) + 1.5 * code})

def p_value(rows, column, ends, test="posthoc_npm_test", **options):
    np.random.seed(0)
    return float(getattr(scikit_posthocs, test)(rows, val_col="answer", group_col=column, **options).loc[ends[0], ends[1]])

orders = {"by dose": table, "highest dose first": table[::-1], "shuffled": table.sample(frac=1, random_state=4)}
for column, ends in (("dose", ("none", "high")), ("milligram", (0.0, 20.0))):
    assert column == "milligram" or table[column].cat.ordered
    for name, rows in orders.items():
        plain, ordered, dunn = p_value(rows, column, ends), p_value(rows, column, ends, sort=True), p_value(rows, column, ends, "posthoc_dunn")
        print(f"seen: {column}, rows {name} (they begin with {rows[column].iloc[0]}): p {plain:.3f}, with sort=True {ordered:.3f}; Dunn's test {dunn:.5f}")
        assert ordered < 0.01 and dunn < 0.001
        assert plain < 0.01 if name == "by dose" else plain > 0.5
texts = table.astype({"dose": str})
print(f"seen: as texts with sort=True: p {p_value(texts, 'dose', ('none', 'high'), sort=True):.3f}")
assert p_value(texts, "dose", ("none", "high"), sort=True) > 0.5
PY
