#!/usr/bin/env bash
# Expected: `collection[mask]` with a boolean mask selects the cells where it is true,
# in X as in obs, as AnnData does; or masks are refused.
#
# What happens: names, shape and obs are those of the mask, and X and the layers are
# read with the mask taken for row numbers: True is row 1 and False row 0. They have
# one row for each cell of the whole collection, copies of its first two cells, so a
# mean over "T cells" is a mixture of two cells, whatever these are. Going through the
# view in batches is right, and so is a collection of one AnnData; to_adata refuses,
# since the numbers of rows differ. With row numbers instead of the mask all is right.
#
# Version: anndata 0.12.19.
# Matters to: collections of several sites that are read from the disk in parts:
# selecting cells by an annotation is the first thing one does with them.
# Source: anndata/experimental/multi_files/_anncollection.py, _resolve_idx, which
# compares the entries of the index with the limits of the parts; indices of masks
# stay boolean since they are normalised without turning them into numbers.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import anndata, numpy as np, pandas as pd
from anndata.experimental import AnnCollection

print("guess: a mask selects the same cells in X and in obs")
print("versions: anndata", anndata.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)

def site(name, cells):
    types = np.where(rng.random(cells) < 0.4, "T", "B")
    counts = np.where(types == "T", 50.0, 5.0)[:, None] + np.zeros(3)
    return anndata.AnnData(counts, layers={"raw": counts.copy()},
                           obs=pd.DataFrame({"type": types}, index=[f"{name}{i}" for i in range(cells)]))

sites = [site("a", 300), site("b", 200)]
collection = AnnCollection(sites, join_obs="inner")
mask = collection.obs["type"] == "T"
whole = anndata.concat(sites)

for kind, index in (("a mask", mask), ("an array of bool", mask.values), ("row numbers", np.flatnonzero(mask))):
    view = collection[index]
    print(f"seen: by {kind}: {view.shape[0]} cells, obs has {sorted(set(view.obs['type']))}; X has {view.X.shape[0]} rows, "
          f"mean {view.X.mean():.2f}; AnnData by the same index: {np.asarray(whole[index].X).mean():.2f}")
    assert view.shape[0] == mask.sum() == len(view.obs["type"]) and set(view.obs["type"]) == {"T"}
    assert whole[index].X.shape[0] == mask.sum() and (whole[index].X == 50).all()
    if kind == "row numbers":
        assert (view.X == 50).all()
    else:
        first_two = whole.X[mask.values.astype(int)]
        assert view.X.shape == (500, 3) and (view.X == first_two).all() and (view.layers["raw"] == first_two).all()

view = collection[mask]
batches = np.concatenate([batch.X for batch, _ in view.iterate_axis(50)])
single = AnnCollection(sites[:1], join_obs="inner")
alone = single[single.obs["type"] == "T"].X
print(f"seen: in batches {batches.shape[0]} rows, mean {batches.mean():.2f}; "
      f"of a collection of one {alone.shape[0]} rows, mean {alone.mean():.2f}")
assert (batches == 50).all() and (alone == 50).all()
try:
    view.to_adata()
    raise SystemExit("to_adata took it")
except ValueError as refusal:
    print("seen: to_adata refuses:", refusal)
EOF
