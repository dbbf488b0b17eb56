#!/usr/bin/env bash
# Expected: the distance from a series with one missing sample is NaN, as aeon's
# Euclidean and DTW distances of it are.
#
# What happens: EDR gives 0 between such a series and any other, however different:
# the incomplete recording is the nearest neighbour of everybody, and a copy of all.
# The tolerance within which two samples count as equal is taken from the standard
# deviations of both series, which is NaN; and compiled with fast arithmetic, which
# may assume that there is no NaN, "nearer than NaN" comes out true.
#
# Version: aeon 1.6.0 with numba 0.63.0b1, on x86-64.
# Matters to: recordings with gaps among whole ones, paired or clustered by
# distance: NaN would be noticed, and 0 is the best match there is.
# Source: aeon/distances/elastic/_edr.py, _edr_cost_matrix.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'aeon==1.6.0' 'numba==0.63.0b1' 'numpy==2.3.5' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'pandas==3.0.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import aeon, numba, numpy as np
from aeon.distances import pairwise_distance

print("guess: the distance from a series with a missing sample is NaN")
print("versions: aeon", aeon.__version__, "numba", numba.__version__, "numpy", np.__version__)
rng, times = np.random.default_rng(0), np.arange(60)
noise, wave, ramp = rng.normal(size=60), 30 * np.sin(times / 3), 100.0 + 5 * times
gap = noise.copy()
gap[10] = np.nan
series = np.stack([gap, noise, wave, ramp])[:, None]
for method in ("euclidean", "dtw", "edr"):
    table = pairwise_distance(series, method=method)
    print(f"seen: {method}: with a gap to noise, wave, ramp {table[0, 1:].round(2).tolist()}, "
          f"noise to wave, ramp {table[1, 2:].round(2).tolist()}, wave to ramp {table[2, 3]:.2f}")
    assert (table[1, 2:] > 0.5).all() and table[2, 3] > 0.5
    assert (table[0, 1:] == 0).all() if method == "edr" else np.isnan(table[0, 1:]).all()

others = rng.normal(size=(50, 1, 60)) * rng.uniform(1, 50, size=(50, 1, 1))
table = pairwise_distance(np.concatenate([series[:1], others]), method="edr")
np.fill_diagonal(table, np.inf)
nearest = table[1:].argmin(axis=1)
print(f"seen: of 50 whole series {int((nearest == 0).sum())} have the one with a gap as their nearest")
assert (nearest == 0).all()
EOF
