#!/usr/bin/env bash
# Expected: concat_on_disk of sparse matrices has the numbers that concat has in memory,
# in a type that holds those of all files, as concat_on_disk of dense ones does and as
# its documentation says ("should be equivalent").
#
# What happens: the first file's type is that of the result, and the others are pressed
# into it. After a site with counts in int64 the normalised values of the next site lose
# their fractions: 0.9 is 0, and most of what was measured there is gone. After a site in
# uint8 all counts above 255 become 255 in an h5ad file, and in a zarr store 300 becomes
# 44. In the other order nothing is lost. The names, obs and the pattern of what is
# stored are right in all cases.
#
# Version: anndata 0.12.19.
# Matters to: sites that are put together on the disk since they do not fit into memory;
# writers choose the smallest type or that of their tool, so the types of files differ.
# Source: anndata/experimental/merge.py, write_concat_sparse, which writes the first
# matrix and appends the others, and append in anndata/_core/sparse_dataset.py.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1' 'h5py==3.16.0' 'zarr==3.1.6' 'dask==2026.8.0'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import anndata, numpy as np, pandas as pd
from anndata.experimental import concat_on_disk
from scipy import sparse

print("guess: concat_on_disk and concat have the same numbers")
print("versions: anndata", anndata.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)

def site(name, numbers, kind, as_sparse):
    numbers = np.asarray(numbers).astype(kind)
    return anndata.AnnData(sparse.csr_matrix(numbers) if as_sparse else numbers,
                           obs=pd.DataFrame(index=[f"{name}{i}" for i in range(len(numbers))]),
                           var=pd.DataFrame(index=[f"gene{i}" for i in range(numbers.shape[1])]))

def plain(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)

def both(first, second, ending):
    read = {"h5ad": anndata.read_h5ad, "zarr": anndata.read_zarr}[ending]
    for name, part in (("first", first), ("second", second)):
        getattr(part, {"h5ad": "write_h5ad", "zarr": "write_zarr"}[ending])(f"{name}.{ending}")
    concat_on_disk([f"first.{ending}", f"second.{ending}"], f"both.{ending}")
    result = read(f"both.{ending}")
    assert list(result.obs_names) == list(first.obs_names) + list(second.obs_names)
    return result.X.dtype, plain(result.X), plain(anndata.concat([first, second]).X)

counts = rng.poisson(1.0, size=(50, 40))
logs = np.log1p(rng.poisson(1.0, size=(50, 40)) / 2)
for ending in ("h5ad", "zarr"):
    for as_sparse in (True, False):
        parts = (site("a", counts, "int64", as_sparse), site("b", logs, "float32", as_sparse))
        for order in ((0, 1), (1, 0)):
            kind, disk, memory = both(parts[order[0]], parts[order[1]], ending)
            rows = slice(50, 100) if order == (0, 1) else slice(0, 50)
            print(f"seen: {ending}, {'sparse' if as_sparse else 'dense'}, {parts[order[0]].X.dtype} first: {kind}, of the "
                  f"{(memory[rows] > 0).sum()} normalised values above 0 {(disk[rows] > 0).sum()} are above 0")
            if as_sparse and order == (0, 1):
                assert kind == np.int64 and (disk[rows] == np.trunc(memory[rows])).all()
                assert (disk[rows] > 0).sum() < 0.5 * (memory[rows] > 0).sum()
            else:
                assert np.allclose(disk, memory)

small, large = site("a", [[1, 0, 200]], "uint8", True), site("b", [[300, 0, 70000]], "int32", True)
for ending, expected in (("h5ad", [255, 0, 255]), ("zarr", [44, 0, 112])):
    kind, disk, memory = both(small, large, ending)
    print(f"seen: {ending}: counts {memory[1].tolist()} after a site in uint8 are {disk[1].tolist()}")
    assert kind == np.uint8 and disk[1].tolist() == expected and memory[1].tolist() == [300, 0, 70000]
PY
