"""Random batches of 128 rows, by anndata's loader with torch's DataLoader and by `cargo bench --workspace --bench reading`.

    pip install anndata mudata torch
    python benches/reading.py FOLDER

writes 20,000 cells of 4,000 genes, 18 % of which are not 0, and 150 proteins as `cells.h5mu` into the folder,
packs them, and prints rows a second of each way, in turns. Needs `multivae` built, and cargo.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

import anndata
import mudata
import numpy as np
import scipy.sparse
import torch
from anndata.experimental import AnnCollection, AnnLoader

CELLS, GENES, PROTEINS, BATCH, TURNS = 20_000, 4_000, 150, 128, 3
folder = pathlib.Path(sys.argv[1])
file, packed = folder / "cells.h5mu", folder / "packed"
root = pathlib.Path(__file__).parent.parent
torch.set_num_threads(2)


def write():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(CELLS, 8)).astype(np.float32)
    shift = rng.normal(-2.0, 1.0, size=GENES).astype(np.float32)
    genes = rng.normal(size=(8, GENES)).astype(np.float32) * 0.4
    proteins = rng.normal(size=(8, PROTEINS)).astype(np.float32) * 0.4
    counts = rng.poisson(np.exp(np.clip(z @ genes + shift, -8, 4))).astype(np.float32)
    print(f"not 0: {(counts > 0).mean():.3f}")
    parts = {
        "rna": anndata.AnnData(scipy.sparse.csr_matrix(counts)),
        "protein": anndata.AnnData(rng.poisson(np.exp(z @ proteins + 2)).astype(np.float32)),
    }
    for part in parts.values():
        part.obs_names = [f"cell{i}" for i in range(CELLS)]
        part.var_names = [f"g{i}" for i in range(part.n_vars)]
    mudata.MuData(parts).write(file)


def rate(batches):
    """Rows a second of at most five seconds, the first three batches left out."""
    rows, start = 0, None
    for i, batch in enumerate(batches):
        if i == 3:
            start = time.perf_counter()
        if i >= 3:
            rows += len(batch)
            if time.perf_counter() - start > 5:
                break
    return rows / (time.perf_counter() - start)


class Joined(torch.utils.data.Dataset):
    """Both modalities of rows, as a user would put them together for torch's own sampler of batches."""

    def __init__(self, data):
        self.parts = [data.mod[name] for name in ("rna", "protein")]

    def __len__(self):
        return CELLS

    def __getitem__(self, rows):
        order = np.sort(rows)  # what backed files ask for
        values = [part.X[order] for part in self.parts]
        dense = [v.toarray() if scipy.sparse.issparse(v) else np.asarray(v) for v in values]
        return Batch(torch.from_numpy(v) for v in dense)


class Batch(list):
    def __len__(self):
        return BATCH


def torch_loader(data, workers=0):
    sampler = torch.utils.data.BatchSampler(
        torch.utils.data.RandomSampler(range(CELLS)), BATCH, drop_last=True
    )
    joined = Joined(data)
    return torch.utils.data.DataLoader(
        joined, sampler=sampler, batch_size=None, num_workers=workers
    )


def genes_loader(data):
    """As anndata's guide does it; a batch is a view until its values are asked for."""
    for batch in AnnLoader(AnnCollection([data.mod["rna"]]), batch_size=BATCH, shuffle=True):
        values = batch.X
        yield values.to_dense() if values.is_sparse else values


def ours():
    environment = {**os.environ, "MULTIVAE_READING": f"{file}:{packed}"}
    command = ["cargo", "bench", "--quiet", "--workspace", "--bench", "reading"]
    out = subprocess.run(
        [*command, "--", "--warm-up-time", "1"],
        cwd=root, env=environment, check=True, capture_output=True, text=True,
    ).stdout
    found = re.findall(r"reading/(\S+)/random rows.*?thrpt:\s+\[\S+ \S+ (\S+) (\S+)", out, re.S)
    unit = {"elem/s": 1.0, "Kelem/s": 1e3, "Melem/s": 1e6}
    return {f"ours, {pathlib.Path(name).name}": float(v) * unit[u] for name, v, u in found}


folder.mkdir(parents=True, exist_ok=True)
if not file.exists():
    write()
if not packed.exists():
    program = ["cargo", "run", "--quiet", "--release", "--", "data", "pack", file, "--out", packed]
    subprocess.run(program, cwd=root, check=True)
rates = {}
for turn in range(TURNS):
    memory, backed = mudata.read_h5mu(file), mudata.read_h5mu(file, backed="r")
    turns = {
        "anndata, in memory, both": lambda: rate(torch_loader(memory)),
        "anndata, in memory, both, two workers": lambda: rate(torch_loader(memory, 2)),
        "anndata, backed, both": lambda: rate(torch_loader(backed)),
        "AnnLoader, in memory, genes alone": lambda: rate(genes_loader(memory)),
    }
    for name, measure in turns.items():
        rates.setdefault(name, []).append(measure())
    for name, value in ours().items():
        rates.setdefault(name, []).append(value)
print(f"anndata {anndata.__version__}, mudata {mudata.__version__}, torch {torch.__version__}")
for name, values in rates.items():
    print(f"{name:40} {max(values):10.0f} rows a second ({', '.join(f'{v:.0f}' for v in values)})")
