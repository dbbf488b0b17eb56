#!/usr/bin/env bash
# Expected: KNNImputer corrects its distances for the number of columns that two
# rows share, so rows with few values are chosen as neighbours about as often as
# they occur, and additional incomplete rows can only help a little.
#
# What happens: nearly every neighbour is a row with almost nothing in it. The
# correction keeps the mean of a squared distance but not its spread: over three
# shared columns some row always lies very near by luck, over thirty hardly any.
# The smallest of many distances therefore belongs to the emptiest rows, and
# complete rows are imputed a good deal worse than without those rows.
#
# Version: scikit-learn 1.9.1.
# Matters to: everybody whose baseline for missing modalities is KNNImputer on
# concatenated tables, where some people have one short modality only: the
# baseline looks weak for a reason that has nothing to do with the data.
# Source: sklearn.metrics.pairwise.nan_euclidean_distances, which
# sklearn.impute.KNNImputer takes as its metric.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scikit-learn==1.9.1' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, sklearn
from sklearn.impute import KNNImputer
from sklearn.metrics.pairwise import nan_euclidean_distances

print("guess: nearly empty rows are picked about as often as they occur, at little cost")
print("versions: scikit-learn", sklearn.__version__, "numpy", np.__version__)
for seed in range(4):
    rng = np.random.default_rng(seed)
    people, columns = 400, 30
    truth = rng.normal(size=(people, 3)) @ rng.normal(size=(3, columns))
    truth += 0.3 * rng.normal(size=truth.shape)

    # Every second row has column 0 and three others, the rest have all.
    table, empty = truth.copy(), np.arange(people) % 2 == 1
    for row in np.flatnonzero(empty):
        kept = np.append(0, rng.choice(np.arange(1, columns), 3, replace=False))
        table[row, np.setdiff1d(np.arange(columns), kept)] = np.nan

    # Column 0 of fifty rows that have all else is to be filled.
    asked = np.arange(0, 100, 2)
    table[asked, 0] = np.nan
    donors = ~np.isnan(table[:, 0])

    distances = nan_euclidean_distances(table[asked], table[donors])
    nearest = np.argsort(distances, axis=1)[:, :5]
    share, there = empty[donors][nearest].mean(), empty[donors].mean()

    def error(fitted_on):
        filled = KNNImputer(n_neighbors=5).fit(fitted_on).transform(table[asked])
        return np.sqrt(np.mean((filled[:, 0] - truth[asked, 0]) ** 2))

    with_empty, without = error(table), error(table[~empty])
    print(f"seen: nearly empty rows are {there:.0%} of the donors, {share:.0%} of the chosen; "
          f"error {with_empty:.2f} with them, {without:.2f} without, spread of the column {truth[:, 0].std():.2f}")
    assert there < 0.6 and share > 0.9
    assert with_empty > 1.2 * without
EOF
