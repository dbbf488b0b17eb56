#!/usr/bin/env bash
# Expected: the sum of a float32 column of a sparse matrix is as good as numpy's
# sum of the same column, which adds in pairs; and `dtype=float64`, documented as
# the type of the accumulator, makes it exact.
#
# What happens: twenty million cells with one count each have the column sum
# 16,777,216, in CSR, where adding one no longer changes a float32. dtype=float64
# changes nothing but the type of the wrong answer: it is applied after the sum.
# The mean of the same column is right, its sum in CSC is right, and so is the sum
# without an axis.
#
# Version: scipy 1.17.1.
# Matters to: .h5ad files hold counts as float32 CSR, and totals per gene,
# pseudo-bulks and library sizes of atlases are such sums; below the limit they
# lose digits, at the limit they stand still. sum / rows is not the mean.
# Source: scipy/sparse/_base.py, _spbase.sum: ones of the result's type times the
# matrix, `dtype` only in the sum over the single row that is left.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scipy==1.17.1' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, scipy
from scipy.sparse import csr_array

print("guess: the sum of 20,000,000 ones is 20,000,000, at least with dtype=float64")
print("versions: scipy", scipy.__version__, "numpy", np.__version__)
cells = 20_000_000
counts = csr_array((np.ones(cells, "f4"), np.zeros(cells, "i4"), np.arange(cells + 1, dtype="i4")),
                   shape=(cells, 1))
seen = {
    "numpy, dense": counts.data.reshape(-1, 1).sum(axis=0).item(),
    "CSR": counts.sum(axis=0).item(),
    "CSR, dtype=float64": counts.sum(axis=0, dtype="f8").item(),
    "CSR, no axis": counts.sum().item(),
    "CSR, mean times rows": counts.mean(axis=0).item() * cells,
    "CSC": counts.tocsc().sum(axis=0).item(),
}
for how, total in seen.items():
    print(f"seen: {how}: {total:,.0f}")
for how, total in seen.items():
    assert total == (2**24 if how in ("CSR", "CSR, dtype=float64") else cells), how
EOF
