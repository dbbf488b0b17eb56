#!/usr/bin/env bash
# Expected: concatenating sites whose embeddings under one name have different
# widths (30 and 20 principal components) is refused, or the embedding is left
# out, as one that only some sites have is left out.
#
# What happens: an inner join, the default, cuts every site to the narrowest width
# and stacks them, without a warning; columns past it are lost. An outer join pads
# with NaN. Unlabelled columns are taken for the same ones because of their place.
#
# Version: anndata 0.12.19.
# Matters to: latent spaces of modalities and sites sit in obsm under common names
# such as X_pca or X_vae; after concat a 3-dimensional and a 2-dimensional space
# are one array in which distances mean nothing, and which has no NaN to show it.
# Source: anndata/_core/merge.py, gen_inner_reindexers: arrays get the smallest
# number of columns among the sites.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import anndata, numpy as np, pandas as pd

print("guess: embeddings of different widths are refused or left out")
print("versions: anndata", anndata.__version__, "numpy", np.__version__)

def site(cells, width, **more):
    adata = anndata.AnnData(np.ones((len(cells), 2)), obs=pd.DataFrame(index=cells))
    adata.obsm["X_vae"] = np.arange(1.0, 1 + len(cells) * width).reshape(-1, width)
    for name in more:
        adata.obsm[name] = np.ones((len(cells), 2))
    return adata

one, two = site(["a1", "a2"], 3, X_umap=True), site(["b1"], 2)
inner = anndata.concat([one, two])
outer = anndata.concat([one, two], join="outer")
print("seen: inner", inner.obsm["X_vae"].tolist(), "kept:", list(inner.obsm))
print("seen: outer", outer.obsm["X_vae"].tolist())
assert inner.obsm["X_vae"].tolist() == [[1, 2], [4, 5], [1, 2]]
assert list(inner.obsm) == ["X_vae"]
assert outer.obsm["X_vae"].shape == (3, 3) and np.isnan(outer.obsm["X_vae"][2, 2])
EOF
