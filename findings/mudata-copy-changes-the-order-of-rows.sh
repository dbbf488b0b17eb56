#!/usr/bin/env bash
# Expected: `mdata[rows].copy()` holds the rows in the order in which they were
# asked for, like the view that is copied, and like AnnData's.
#
# What happens: the view has the asked order. Its copy has another one as soon as
# some row lacks the first modality: rows of that modality come first, the others
# after them. A file written from the view has the changed order too, and writing
# reorders even the view itself. Where every row has the first modality the asked
# order survives, so complete data show nothing. The option pull_on_update, by its
# name and its warning about columns, decides: set to either value the order of
# rows is kept, left alone it is not.
#
# Version: mudata 0.3.10 with anndata 0.12.19 (the newest for Python 3.11).
# Matters to: cross-validation and shuffles, `y[rows]` beside `mdata[rows].copy()`:
# labels, folds and predictions that are kept as arrays belong to other rows.
# Source: mudata/_core/mudata.py: copy builds the global table anew, and does so
# by _update_attr_legacy while the option is None, by _update_attr otherwise.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'mudata==0.3.10' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import anndata, mudata, numpy as np, pandas as pd

print("guess: a copy of a view has the view's order of rows")
print("versions: mudata", mudata.__version__, "anndata", anndata.__version__)

def modality(cells, feature):
    return anndata.AnnData(np.zeros((len(cells), 1), "f4"), obs=pd.DataFrame(index=list(cells)),
                           var=pd.DataFrame(index=[feature]))

def orders(asked):
    whole = mudata.MuData({"rna": modality("abcd", "CD3E"), "adt": modality("abde", "CD3")})
    view = whole[list(asked)]
    before, copied = "".join(view.obs_names), "".join(view.copy().obs_names)
    view.write("part.h5mu")
    return before, copied, "".join(mudata.read_h5mu("part.h5mu").obs_names), "".join(view.obs_names)

print("rows: a b c d e; e has no rna, c has no adt")
for pull in (None, False, True):
    mudata.set_options(pull_on_update=pull)
    for asked in ("ebda", "dbc"):
        view, copied, saved, after = orders(asked)
        print(f"seen: pull_on_update={pull}: asked {asked}, view {view}, copy {copied}, "
              f"file {saved}, view after writing {after}")
        moved = pull is None and asked == "ebda"
        assert view == asked
        assert copied == saved == after == ("bdae" if moved else asked)
EOF
