#!/usr/bin/env bash
# Expected: `adata.obs = table` matches the rows of a table by its index, as
# `adata.obs["x"] = column` does, or refuses a table whose index has another
# order, as `adata.obsm["x"] = table` does.
#
# What happens: it is accepted by its number of rows alone, and the names of the
# cells are replaced by the table's index, while X, layers and embeddings stay
# where they are. After joining annotations with pandas, which may sort, every
# cell has another cell's name; writing the file makes it permanent.
#
# Version: anndata 0.12.19.
# Matters to: joins between modalities go by names. RNA renamed in this way is
# joined with the wrong cells' proteins, all names are found, nothing is missing.
# Source: anndata/_core/anndata.py, AnnData._set_dim_df (obs) against the check of
# the index in anndata/_core/aligned_mapping.py (obsm).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import anndata, numpy as np, pandas as pd

print("guess: a table in another order is matched by names, or refused")
print("versions: anndata", anndata.__version__, "pandas", pd.__version__)
adata = anndata.AnnData(np.array([[1.0], [2.0], [3.0]]), obs=pd.DataFrame(index=["c1", "c2", "c3"]))
donors = pd.DataFrame({"type": ["B", "T", "NK"]}, index=["c3", "c1", "c2"])
assert adata["c1"].X.item() == 1

adata.obs["type"] = donors["type"]
print("seen: a column is matched by names:", dict(adata.obs["type"]))
assert list(adata.obs["type"]) == ["T", "NK", "B"]

try:
    adata.obsm["table"] = donors
    raise SystemExit("obsm took the table")
except ValueError as refusal:
    print("seen: obsm refuses:", str(refusal).splitlines()[0])

adata.obs = donors
print("seen: obs takes it; the cells are called", list(adata.obs_names), "and c1 has the value",
      adata["c1"].X.item(), "where it had 1")
assert list(adata.obs_names) == ["c3", "c1", "c2"]
assert adata["c1"].X.item() == 2
EOF
