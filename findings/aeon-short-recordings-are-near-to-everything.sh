#!/usr/bin/env bash
# Expected: Euclidean distances of series of different length, or with different
# numbers of channels, are refused; they are sums over pairs of samples, and aeon's
# own formula for them has none left over.
#
# What happens: both are cut to what they have in common, from the start, and what
# is left over costs nothing. A distance therefore grows with the shorter length:
# whatever it contains, a recording of ten samples is nearer to all long ones than
# their own kind is. All nearest neighbours are short ones, and a classifier by
# neighbours, which says that it takes series of unequal length, learns nothing from
# the long ones. Of a recording with a third channel that channel is ignored.
#
# Version: aeon 1.6.0.
# Matters to: recordings that ended early or devices without the third axis, among
# others: instead of an error they become everybody's neighbours.
# Source: aeon/distances/pointwise/_squared.py and _manhattan.py.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'aeon==1.6.0' 'numba==0.63.0b1' 'numpy==2.3.5' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'pandas==3.0.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import aeon, numpy as np
from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier
from aeon.distances import euclidean_distance, pairwise_distance

print("guess: Euclidean distances of unequal lengths or channels are refused")
print("versions: aeon", aeon.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
long, short = rng.normal(size=(3, 50)), rng.normal(size=(2, 30))
whole, cut = euclidean_distance(long, short), euclidean_distance(long[:2, :30], short)
print(f"seen: 3 channels of 50 to 2 of 30: {whole:.3f}; to the first 2 of 30 alone: {cut:.3f}")
assert np.isclose(whole, cut)

def recordings(kinds, length):
    phase = np.arange(length) / 3
    return [(np.sin(phase * (1 + kind)) + 0.3 * rng.normal(size=length))[None] for kind in kinds]

kinds = np.arange(40) % 2
same, new = recordings(kinds, 100), recordings(kinds, 100)
# Recordings that ended after ten samples, of neither kind.
ended = [rng.normal(size=(1, 10)) for _ in kinds]
for method in ("euclidean", "dtw"):
    nearest = pairwise_distance(new, same + ended, method=method).argsort(axis=1)[:, :5]
    share = float((nearest >= len(same)).mean())
    scores = []
    for learned, labels in ((same, kinds), (same + ended, np.tile(kinds, 2))):
        classifier = KNeighborsTimeSeriesClassifier(distance=method, n_neighbors=5)
        assert classifier.get_tag("capability:unequal_length")
        scores.append(float((classifier.fit(learned, labels).predict(new) == kinds).mean()))
    print(f"seen: {method}: {share:.0%} of nearest neighbours ended early, "
          f"{scores[0]:.2f} right without those, {scores[1]:.2f} with them")
    assert scores[0] == 1.0
    assert (share == 0.0 and scores[1] == 1.0) if method == "dtw" else (share == 1.0 and scores[1] < 0.8)
EOF
