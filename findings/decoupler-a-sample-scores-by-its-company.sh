#!/usr/bin/env bash
# Expected: decoupler's univariate linear model scores a sample by its own genes and
# the network, as a regression for each sample; which other samples are in the table
# does not matter.
#
# What happens: genes that are 0 in all samples of the table are removed before the
# regression, so the same sample has other scores in other company. Alone, where
# only its own expressed genes are left, 7 of 12 scores have another sign than among
# two hundred, and differ by more than twice their spread. With empty=False nothing
# changes.
#
# Version: decoupler 2.2.0.
# Matters to: activities of pathways as a modality: a test set or a single patient
# that is scored by itself has other features than what the model was trained on,
# and the smaller the set the larger the shift.
# Source: decoupler/pp/data.py, empty features, which extract removes by default.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'decoupler==2.2.0' 'numpy==2.4.6' 'pandas==2.3.3' 'numba==0.68.1' 'anndata==0.12.19'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import decoupler as dc, numpy as np, pandas as pd

print("guess: a sample has the same score alone and in a table")
print("versions: decoupler", dc.__version__, "numpy", np.__version__, "pandas", pd.__version__)
rng = np.random.default_rng(0)
genes, samples = 400, 200
names = [f"g{j}" for j in range(genes)]
counts = rng.poisson(rng.lognormal(-1.5, 1.0, genes), size=(samples, genes))
table = pd.DataFrame(np.log1p(counts).astype("f4"), index=[f"s{i}" for i in range(samples)], columns=names)
net = pd.DataFrame([(f"pathway{k}", names[j], 1.0) for k in range(12) for j in rng.choice(genes, 40, replace=False)],
                   columns=["source", "target", "weight"])

def first(rows, empty):
    return dc.mt.ulm(table.iloc[:rows], net, verbose=False, empty=empty)[0].iloc[0]

whole = first(samples, True)
for empty in (True, False):
    for rows in (1, 5, samples):
        scores = first(rows, empty)[whole.index]
        shift = float((scores - first(samples, empty)[whole.index]).abs().max())
        signs = int((np.sign(scores) != np.sign(whole)).sum())
        print(f"seen: empty={empty}, with {rows - 1} others: scores differ by up to {shift:.2f}, "
              f"{signs} of {len(whole)} signs are others; spread of scores {whole.std():.2f}")
        if rows == samples or not empty:
            assert shift < 1e-4 and signs == 0
        else:
            assert shift > (1.5 if rows == 1 else 0.5) and signs >= (4 if rows == 1 else 1)
EOF
