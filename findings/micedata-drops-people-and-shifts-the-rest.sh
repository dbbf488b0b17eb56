#!/usr/bin/env bash
# Expected: MICEData imputes the table that it is given: as many rows, in the same
# order, under the same index. A row without any value is filled from the others
# or refused.
#
# What happens: rows without any value are dropped without a word and the index is
# replaced by 0, 1, 2, .. So every row after such a row carries the number of its
# predecessor: put back with `table["x"] = imputed["x"]`, which matches by index,
# measured values move to other people. The frame has no hole to show it, except
# that the last row is empty again.
#
# Version: statsmodels 0.15.0.
# Matters to: imputation per modality. A person without a blood sample is a row
# without any value, and the join with the other modalities shifts behind it.
# Source: statsmodels/imputation/mice.py, MICEData.__init__.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'statsmodels==0.15.0' 'scipy==1.17.1' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, pandas as pd, statsmodels
from statsmodels.imputation.mice import MICEData

print("guess: imputed data have the rows and the index of the data given")
print("versions: statsmodels", statsmodels.__version__, "pandas", pd.__version__)
rng = np.random.default_rng(0)
people = 60
blood = pd.DataFrame(rng.normal(size=(people, 3)), columns=["crp", "ldl", "hdl"])
blood.loc[20] = np.nan  # no blood sample
blood.loc[[5, 40], "crp"] = np.nan
np.random.seed(0)
imputed = MICEData(blood)
imputed.update_all(3)
imputed = imputed.data

measured = blood["ldl"].notna()
table = blood[[]].copy()
table["ldl"] = imputed["ldl"]
moved = measured & (table["ldl"] != blood["ldl"])
print("seen: rows given", len(blood), "rows back", len(imputed), "index", imputed.index.tolist()[:3], "..", imputed.index[-1])
print("seen: after assigning by index, measured values that belong to somebody else:", moved.sum(), "of", measured.sum())
print("seen: empty afterwards: row", *table.index[table["ldl"].isna()], "- empty before: row 20")
assert len(imputed) == people - 1 and list(imputed.index) == list(range(people - 1))
assert moved.sum() == people - 21
assert np.array_equal(table["ldl"][20:59], blood["ldl"][21:60])

named = MICEData(blood.set_axis([f"p{i}" for i in range(people)])).data
print("seen: names p0, p1, .. come back as", named.index.tolist()[:2])
assert list(named.index[:2]) == [0, 1]
EOF
