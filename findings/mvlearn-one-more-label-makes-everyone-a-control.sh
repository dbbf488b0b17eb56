#!/usr/bin/env bash
# Expected: 21 labelled cases beside 19 labelled controls teach a classifier as much as 20 and
# 20 do, or 19 and 21.
#
# What happens: with one more case than controls, co-training of two views calls nearly every
# new sample a control. When p and n, the numbers of cases and controls to add per round, are
# left to it, they follow the proportion of the labels by whole division: 19 // 21 makes n zero,
# and the last zero entries of a list, `[-0:]`, are all of it. Every unlabelled sample of the pool
# that looks at all like a control is then taken for one, beside a single case a round. It ends
# where cases are twice as many as controls, and never happens where controls are more.
#
# Version: mvlearn 0.5.0 with scikit-learn 1.7.2 (installed without its upper bound of
# matplotlib, for which there are no wheels for Python 3.11).
# Matters to: two modalities of which few samples are labelled: accuracy turns on one patient,
# and a fold of a cross-validation on how it was drawn.
# Source: mvlearn/semi_supervised/ctclassifier.py, fit: n_ = num_class_n // num_class_p, and
# argsort()[-self.n_:].
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
pip=("$dir/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" 'scikit-learn==1.7.2' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==2.3.3' \
    'matplotlib==3.11.2' 'seaborn==0.13.2'
"${pip[@]}" --no-deps 'mvlearn==0.5.0'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version
import numpy as np
from mvlearn.semi_supervised import CTClassifier

print("guess: one labelled case more or less makes hardly a difference")
print("versions: mvlearn", version("mvlearn"), "scikit-learn", version("scikit-learn"), "numpy", np.__version__)

def trained(cases, seed, **options):
    """n_ and p_ as chosen, the share of new samples that are right, and of those called a case."""
    rng = np.random.default_rng(seed)
    group = np.r_[np.ones(cases, int), np.zeros(40 - cases, int), rng.integers(0, 2, 560)]
    views = [rng.normal(2.0 * group[:, None] - 1, 1.2, (600, 2)) for _ in range(2)]
    y = group.astype(float)
    y[40:400] = np.nan
    model = CTClassifier(random_state=0, **options).fit([v[:400] for v in views], y[:400])
    said = model.predict([v[400:] for v in views])
    return model.n_, model.p_, (said == group[400:]).mean(), said.mean()

for cases in (16, 19, 20, 21, 24, 27):
    n, p, right, called = np.mean([trained(cases, seed) for seed in range(5)], axis=0)
    print(f"seen: {cases} cases and {40 - cases} controls labelled: n {n:.0f}, p {p:.0f}: "
          f"{right:.2f} of new samples right, {called:.2f} called a case")
    zero = 20 < cases < 27
    assert (n == 0) == zero
    assert (right < 0.6 and called < 0.1) if zero else (right > 0.85 and 0.3 < called < 0.7)
right = np.mean([trained(21, seed, p=1, n=1)[2] for seed in range(5)])
print(f"seen: 21 and 19 with p=1 and n=1 given: {right:.2f} right")
assert right > 0.9
PY
