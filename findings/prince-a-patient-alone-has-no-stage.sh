#!/usr/bin/env bash
# Expected: a fitted factor analysis of mixed data places a row by the row and by what was fitted,
# as PCA, MCA and MFA of the same package do.
#
# What happens: row_coordinates centres and scales the indicators of categories by the shares that
# they have in the rows it is given, not in those that were fitted. A patient who is placed alone
# has the share 1 in each of his categories, so that their indicators are 0 after centring: early
# and late stage are put in the same place, as are patients placed stage by stage. Numbers keep
# their fitted scale. With all rows at once everything is right.
#
# Version: prince 0.23.0 (the newest).
# Matters to: clinical tables of numbers and categories, of which new patients or a test set are
# placed in a map that was fitted on others.
# Source: prince/famd.py, row_coordinates: p = X_cat_oh.mean(axis="rows") of the input.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'prince==0.23.0' 'scikit-learn==1.9.1' 'numpy==2.4.6' 'pandas==3.1.1' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version
import numpy as np
import pandas as pd
import prince

print("guess: where a patient lies does not depend on who is placed with them")
print("versions: prince", version("prince"), "scikit-learn", version("scikit-learn"), "pandas", pd.__version__)

rng = np.random.default_rng(0)
stage = rng.integers(0, 3, 120)
table = pd.DataFrame({
    "age": rng.normal(60, 10, 120) + 5 * stage,
    "crp": rng.normal(size=120) + stage,
    "stage": np.array(["early", "middle", "late"])[stage],
    "sex": np.where(rng.random(120) < 0.5, "f", "m"),
})
fitted = prince.FAMD(n_components=2, random_state=0).fit(table)
together = fitted.row_coordinates(table)
alone = pd.concat([fitted.row_coordinates(table.iloc[[i]]) for i in range(120)])
for name, placed in {"together": together, "one by one": alone}.items():
    means = placed[0].groupby(table.stage).mean()
    print(f"seen: {name}: mean of the first coordinate, early {means['early']:.2f}, late {means['late']:.2f}")
ratio = np.ptp(alone[0].groupby(table.stage).mean()) / np.ptp(together[0].groupby(table.stage).mean())
assert ratio < 0.6

# The same person in both stages.
twins = pd.DataFrame({"age": [60.0, 60.0], "crp": [1.0, 1.0], "stage": ["early", "late"], "sex": ["f", "f"]})
places = [fitted.row_coordinates(twins.iloc[[i]]).to_numpy() for i in range(2)]
both = fitted.row_coordinates(pd.concat([table, twins], ignore_index=True)).iloc[-2:, 0].to_numpy()
print(f"seen: one and the same person early and late: {np.abs(places[0] - places[1]).max():.1e} apart when placed "
      f"alone, {abs(both[0] - both[1]):.2f} among all others")
assert np.allclose(*places) and abs(both[0] - both[1]) > 0.5

numbers = table[["age", "crp"]]
pca = prince.PCA(n_components=2, random_state=0).fit(numbers)
assert np.allclose(pca.row_coordinates(numbers.iloc[:1]), pca.row_coordinates(numbers).iloc[:1])
print("seen: PCA of the same package places a row alone where it lies among all")
PY
