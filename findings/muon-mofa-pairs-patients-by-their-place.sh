#!/usr/bin/env bash
# Expected: two modalities of the same patients are joined by the patients' names, as MuData joins
# them, whatever the order of rows in either.
#
# What happens: mofa() sets row beside row. When the second table has the same patients in
# another order, each patient's expression is modelled together with someone else's proteins: what
# the two share is no longer found, and the one factor becomes two, each of one modality. No
# option is asked for and nothing is said, and a table that lacks a single patient is refused
# unless `use_obs` says what to do, so rows seem to be compared by name. mdata[mdata.obs_names] puts
# the rows of both in one order and gives the right result.
#
# Version: muon 0.1.9 with mofapy2 0.7.5, mudata 0.3.10 and anndata 0.12.19.
# Matters to: tables of several laboratories, each in its own order: modalities look unrelated.
# Source: muon/_core/tools.py, _set_mofa_data_from_mudata: adata.X of every modality as it is,
# where the names of samples are those of mdata.obs.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'muon==0.1.9' 'mofapy2==0.7.5' 'mudata==0.3.10' 'anndata==0.12.19' 'scanpy==1.11.5' \
    'scikit-learn==1.9.1' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version
import contextlib, io
import anndata, mudata, muon, numpy as np, pandas as pd

print("guess: modalities are joined by name")
print("versions:", *(f"{name} {version(name)}" for name in ("muon", "mofapy2", "mudata", "anndata", "numpy")))
severity = dict(zip([f"p{i}" for i in range(60)], np.random.default_rng(0).normal(size=60)))
patients = list(severity)

def modality(names, prefix, seed):
    """Eight features, all of them the patient's severity times a weight, with noise."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=8)
    values = [severity[name] * weights + 0.3 * rng.normal(size=8) for name in names]
    return anndata.AnnData(np.array(values), obs=pd.DataFrame(index=list(names)),
                           var=pd.DataFrame(index=[f"{prefix}{i}" for i in range(8)]))

def mofa(mdata, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        muon.tl.mofa(mdata, n_factors=2, n_iterations=100, outfile="model.hdf5", **options)

def seen(mdata):
    """Largest correlation of a factor with severity, and shares of variance by factor."""
    mofa(mdata)
    factors = mdata.obsm["X_mofa"]
    truth = [severity[name] for name in mdata.obs_names]
    shares = {str(name): np.round(share).astype(int).tolist() for name, share in mdata.uns["mofa"]["variance"].items()}
    return [abs(round(float(np.corrcoef(f, truth)[0, 1]), 2)) for f in factors.T], shares

shuffled = np.random.default_rng(3).permutation(patients).tolist()
def pair(order):
    return mudata.MuData({"rna": modality(patients, "g", 1), "adt": modality(order, "a", 2)})

mdata = pair(shuffled)
print("seen: rows of rna, adt and both:", *(", ".join(t.obs_names[:3]) + " ...;" for t in (mdata["rna"], mdata["adt"], mdata)))
for what, mdata in (("the same order", pair(patients)), ("another order", pair(shuffled)),
                    ("another order, mdata[mdata.obs_names].copy()", pair(shuffled)[patients].copy())):
    found, shares = seen(mdata)
    print(f"seen: {what}: correlations of the factors with severity {found}, variance explained by each in % {shares}")
    rna, adt = shares["rna"], shares["adt"]
    if what == "another order":
        assert np.argmax(rna) != np.argmax(adt) and min(max(rna), max(adt)) > 50
        assert max(min(pair) for pair in zip(rna, adt)) < 10 and min(found) < 0.4
    else:
        assert np.argmax(rna) == np.argmax(adt) and max(min(pair) for pair in zip(rna, adt)) > 70
        assert max(found) > 0.95
PY
