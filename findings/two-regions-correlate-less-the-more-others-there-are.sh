#!/usr/bin/env bash
# Expected: ConnectivityMeasure(kind="correlation") gives for two regions their
# Pearson correlation, "slightly shrunk towards zero" as its documentation says;
# what other regions are in the table does not concern these two.
#
# What happens: the shrinkage is one number for the whole matrix and grows with
# the number of regions and with short recordings. Two regions that correlate with
# 0.92 have 0.75 alone, and 0.05 beside eighteen unrelated regions in a recording
# of 30 volumes; with 240 volumes 0.90, 0.41 and, among a hundred, 0.02.
#
# Version: nilearn 0.14.1.
# Matters to: connectivity as a modality: an atlas with more regions or a site with
# shorter scans has other correlations for the same brains, which a model learns
# as a difference between sites. cov_estimator=EmpiricalCovariance() is Pearson's.
# Source: nilearn.connectome.ConnectivityMeasure, cov_estimator=None, which means
# sklearn.covariance.LedoitWolf.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nilearn==0.14.1' 'scikit-learn==1.9.1' 'scipy==1.17.1' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import nilearn, numpy as np, sklearn
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import EmpiricalCovariance

print("guess: about Pearson's correlation, whatever other regions are there")
print("versions: nilearn", nilearn.__version__, "scikit-learn", sklearn.__version__)

def correlation(table, **options):
    return ConnectivityMeasure(kind="correlation", **options).fit_transform([table])[0][0, 1]

means = {}
for volumes in (30, 240):
    for regions in (2, 20, 100):
        found = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            pair = rng.normal(size=(volumes, 1)) + 0.3 * rng.normal(size=(volumes, 2))
            table = np.hstack([pair, rng.normal(size=(volumes, regions - 2))])
            pearson = np.corrcoef(pair.T)[0, 1]
            assert np.isclose(correlation(table, cov_estimator=EmpiricalCovariance()), pearson)
            found.append((correlation(table), pearson))
        means[volumes, regions] = shrunk, pearson = np.mean(found, axis=0)
        print(f"seen: {volumes} volumes, {regions} regions: {shrunk:.2f}, Pearson {pearson:.2f}")
assert all(pearson > 0.9 for _, pearson in means.values())
assert means[240, 2][0] > 0.85 and means[240, 20][0] < 0.5 and means[240, 100][0] < 0.1
assert means[30, 2][0] < 0.8 and means[30, 20][0] < 0.15
EOF
