#!/usr/bin/env bash
# Expected: rda and cca of scikit-bio take two tables with sample names, features and
# explanatory variables, and match them by the names, as dirmult_ttest and bioenv of
# the same package match theirs; or they refuse tables whose names differ.
#
# What happens: row is set against row. The result carries the names of the first
# table, the names of the second are read and dropped. With the same samples in
# another order the constraints explain what chance explains, instead of nearly all; even
# tables that share no sample at all are taken.
#
# Version: scikit-bio 0.7.4.
# Matters to: relating one modality to another, which is what constrained ordination is
# for: tables of two assays are rarely in the same order, and "the metabolites explain
# nothing" is a result that one would believe.
# Source: skbio/stats/ordination/_redundancy_analysis.py and
# _canonical_correspondence_analysis.py: only the numbers of rows are compared.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scikit-bio==0.7.4' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1' 'statsmodels==0.15.0'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, pandas as pd, skbio
from scipy.spatial.distance import pdist, squareform
from skbio.stats.composition import dirmult_ttest
from skbio.stats.distance import DistanceMatrix, bioenv
from skbio.stats.ordination import cca, rda

print("guess: samples of two tables are matched by their names, or refused")
print("versions: scikit-bio", skbio.__version__, "pandas", pd.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
names = [f"s{i:02d}" for i in range(60)]
causes = pd.DataFrame(rng.normal(size=(60, 2)), index=names, columns=["diet", "age"])
rates = np.exp(1.0 * causes.values @ rng.normal(size=(2, 12)) + 6)
counts = pd.DataFrame(rng.poisson(rates), index=names, columns=[f"taxon{j}" for j in range(12)])
logs = np.log1p(counts)
shuffled = causes.sample(frac=1, random_state=1)
strangers = causes.set_axis([f"other{i}" for i in range(60)])

def explained(method, table, constraints):
    """The share of variance on the two axes that the constraints span."""
    result = method(table, constraints)
    assert list(result.samples.index) == names
    # What rda calls eigenvalues are singular values, as a note in its documentation says.
    values = result.eigvals ** 2 if method is rda else result.eigvals
    return float(values.iloc[:2].sum() / values.sum())

for method, table in ((rda, logs), (cca, counts)):
    same, other, none = (explained(method, table, by) for by in (causes, shuffled, strangers))
    print(f"seen: {method.__name__}: in the same order {same:.3f} explained, the same samples in another order {other:.3f}, "
          f"samples of other names {none:.3f}")
    assert same > 0.7 and other < 0.2 and none == same

distances = DistanceMatrix(squareform(pdist(logs.values)), names)
by_order = [float(bioenv(distances, by)["correlation"].max()) for by in (causes, shuffled)]
group = (causes["diet"] > 0).map({True: "high", False: "low"})
tests = [dirmult_ttest(counts + 1, by, "high", "low", seed=0)["T-statistic"].tolist()
         for by in (group, group.loc[shuffled.index])]
print(f"seen: bioenv in both orders {by_order[0]:.3f} {by_order[1]:.3f}; dirmult_ttest the same in both: {tests[0] == tests[1]}")
assert np.isclose(*by_order) and tests[0] == tests[1]
try:
    bioenv(distances, strangers)
    raise SystemExit("bioenv took them")
except ValueError as refusal:
    print("seen: bioenv of other names refuses:", refusal)
EOF
