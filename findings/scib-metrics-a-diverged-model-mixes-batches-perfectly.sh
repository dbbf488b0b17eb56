#!/usr/bin/env bash
# Expected: scores of an embedding with NaN are NaN, as pcr_comparison of scib-metrics
# gives, or are refused, as its clustering by k-means and scikit-learn's silhouette do.
#
# What happens: all scores that are built on silhouettes are numbers. An embedding that
# is NaN everywhere has 1.0 for batches, the best there is, and 0.5 for labels, the
# value of labels without structure. A single NaN in one cell of two hundred makes the
# silhouettes of all cells 0 that are compared with it: the labels' score falls to 0.5,
# and the batches' score rises above that of the finite embedding. Cells that all stand
# in one point score like NaN.
#
# Version: scib-metrics 0.5.10 with jax 0.10.2.
# Matters to: comparisons of integrated embeddings by these functions: a model that
# diverged, or one cell without counts, wins the half of the table that is about
# batches. The package's Benchmarker refuses NaN where it looks for neighbours.
# Source: scib_metrics/utils/_silhouette.py, silhouette_samples, where 0 replaces NaN,
# and metrics/_silhouette.py, silhouette_batch, one minus its absolute value.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scib-metrics==0.5.10' 'jax==0.10.2' 'numpy==2.4.6' 'pandas==2.3.3' 'scikit-learn==1.9.1' 'scanpy==1.11.5' \
    'anndata==0.12.19' 'scipy==1.17.1' 'numba==0.68.1'
cd "$dir"
JAX_PLATFORMS=cpu venv/bin/python -W ignore - <<'EOF' 2>&1 | grep -v WARNING
import numpy as np, jax, scib_metrics as scib
from importlib.metadata import version
from sklearn.metrics import silhouette_score

print("guess: an embedding with NaN has no score")
print("versions: scib-metrics", version("scib-metrics"), "jax", jax.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
cells = 200
labels = np.array(["T", "B"])[np.arange(cells) % 2]
batches = np.array(["x", "y"])[np.arange(cells) // 2 % 2]
right = rng.normal(size=(cells, 5)).astype("f4")
right[labels == "T"] += 3
right[batches == "x"] += 2  # an effect of the batch that is still there
one = right.copy()
one[0, 0] = np.nan
diverged, collapsed = np.full_like(right, np.nan), np.ones_like(right)

seen = {}
for name, embedding in (("finite", right), ("one NaN", one), ("all NaN", diverged), ("one point", collapsed)):
    seen[name] = [float(scib.silhouette_label(embedding, labels)), float(scib.silhouette_batch(embedding, labels, batches)),
                  float(scib.bras(embedding, labels, batches)), float(scib.isolated_labels(embedding, labels, batches))]
    print(f"seen: {name}: labels {seen[name][0]:.2f}, batches {seen[name][1]:.2f}, bras {seen[name][2]:.2f}, "
          f"isolated labels {seen[name][3]:.2f}")
assert all(0 <= score <= 1 for scores in seen.values() for score in scores)
assert seen["finite"][0] > 0.65 and seen["finite"][1] < 0.65
assert seen["one NaN"][0] == 0.5 and seen["one NaN"][1] > seen["finite"][1] + 0.15
assert seen["all NaN"][:2] == seen["one point"][:2] == [0.5, 1.0] and seen["all NaN"][2] == 1.0

regression = scib.pcr_comparison(right, one, batches, categorical=True)
print("seen: pcr_comparison with one NaN:", regression)
assert np.isnan(regression)
for name, score in (("k-means of scib-metrics", scib.nmi_ari_cluster_labels_kmeans), ("scikit-learn", silhouette_score)):
    try:
        score(one, labels)
        raise SystemExit(f"{name} took it")
    except ValueError as refusal:
        print(f"seen: {name} refuses:", str(refusal).splitlines()[0])
EOF
