#!/usr/bin/env bash
# Expected: tensorly's parafac and tucker with a mask, "0 where the values are missing and 1
# everywhere else", depend on the values that are not masked, and on nothing else.
#
# What happens: the first step takes the values under the mask for measured ones, and the
# later ones for their own estimates of these, so that what was there to begin with is
# passed on. With 0 or -1 there all is well: noise of 0.05 is what remains. With -999 or
# 99, which are common signs for "missing", the fit stops as converged where missing
# entries are 413 or 41 off, and measured ones are not explained at all; ten times the
# iterations do not help. Masked entries have to be overwritten with something plausible
# beforehand.
#
# Version: tensorly 0.10.0.
# Matters to: subjects by assays by times with whole assays missing, where the mask is
# made from the sign for "missing", which is then left in the tensor.
# Source: tensorly/decomposition/_cp.py, parafac, which sets the masked part only at the
# end of an iteration; and _tucker.py, partial_tucker.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tensorly==0.10.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import numpy as np, tensorly
from tensorly.decomposition import parafac, tucker

print("guess: values under the mask have no influence")
print("versions: tensorly", tensorly.__version__, "numpy", np.__version__)
rng = np.random.default_rng(1)
factors = [rng.normal(size=(length, 2)) for length in (20, 15, 10)]
truth = np.einsum("ir,jr,kr->ijk", *factors)
tensor = truth + 0.05 * rng.normal(size=truth.shape)
seen = rng.random(truth.shape) > 0.2
seen[5, 3:] = False

def fit(name, fill, iterations):
    filled = np.where(seen, tensor, fill)
    options = dict(mask=seen, init="svd", n_iter_max=iterations, random_state=0)
    if name == "parafac":
        return tensorly.cp_to_tensor(parafac(filled, rank=2, **options))
    return tensorly.tucker_to_tensor(tucker(filled, rank=[2, 2, 2], **options))

print(f"spread of the measured values: {tensor[seen].std():.2f}")
for name in ("parafac", "tucker"):
    for iterations in (100, 1000):
        for fill in (0.0, -1.0, 99.0, -999.0):
            error = np.abs(fit(name, fill, iterations) - truth)
            off = [float(np.sqrt((error[part] ** 2).mean())) for part in (seen, ~seen)]
            print(f"seen: {name}, {iterations} iterations, {fill:g} under the mask: off by {off[0]:.2f} where measured, {off[1]:.2f} where missing")
            if abs(fill) <= 1:
                assert max(off) < 0.1
            else:
                assert off[1] > 30 and off[0] > 0.9 * tensor[seen].std()
PY
