#!/usr/bin/env bash
# Expected: after mofa(mdata, use_obs="intersection") each row of mdata.obsm["X_mofa"] holds the
# factors of the patient of that row, and NaN for patients who lack a modality.
#
# What happens: the NaN are where they belong, and the factors of the others stand in the order
# of the alphabet, whatever the order of the rows: with patients p1 to p58, p2 has the factors of
# p10. They tell nothing of the patients then, while the variance explained, the weights and the
# written model are right. Only tables that are sorted as text are right, and so is
# use_obs="union".
#
# Version: muon 0.1.9 with mofapy2 0.7.5, mudata 0.3.10 and anndata 0.12.19.
# Matters to: clustering, plots and predictions from factors of several modalities: they are made
# of other patients' factors as soon as names have no leading zeros or tables another order.
# Source: muon/_core/tools.py, mofa: common_obs comes sorted from np.intersect1d, and
# X_mofa[obs.index.isin(common_obs)] = z fills the rows in the order of the table.
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

print("guess: factors are written to the rows that they were computed from")
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

def seen(names, use_obs):
    mdata = mudata.MuData({"rna": modality(names[1:], "g", 1), "adt": modality(names[:-1], "a", 2)})
    mofa(mdata, use_obs=use_obs)
    factors = pd.DataFrame(mdata.obsm["X_mofa"], index=mdata.obs_names)
    known = factors.dropna()
    found = max(abs(np.corrcoef(known[k], [severity[name] for name in known.index])[0, 1]) for k in known)
    explained = [round(float(np.max(share))) for share in mdata.uns["mofa"]["variance"].values()]
    return factors, found, explained

for order, names in (("p0 p1 p2 ... p59", patients), ("p0 p1 p10 ... p9", sorted(patients))):
    for use_obs in ("union", "intersection"):
        factors, found, explained = seen(names, use_obs)
        print(f"seen: rows {order}, {use_obs}: {len(factors.dropna())} patients with factors, correlation of the "
              f"factor with severity {found:.2f}, variance explained {explained}%")
        wrong = use_obs == "intersection" and names == patients
        assert found < 0.4 if wrong else found > 0.95
        assert min(explained) > 70

factors, _, _ = seen(patients, "intersection")
right = factors.dropna().copy()
right.index = sorted(right.index)  # the alphabet, which is what the rows follow
repaired = max(abs(np.corrcoef(right[k], [severity[name] for name in right.index])[0, 1]) for k in right)
named = dict(zip(factors.dropna().index, right.index))
print(f"seen: renamed in the order of the alphabet: {repaired:.2f}; the row of p2 is of {named['p2']}")
assert repaired > 0.95 and named["p2"] == "p10"
PY
