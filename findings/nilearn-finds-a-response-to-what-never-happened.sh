#!/usr/bin/env bash
# Expected: a condition whose only events come after the last scan (the run was stopped,
# or onsets are in milliseconds) is refused, has NaN, or has effects and z of 0; nilearn
# warns of onsets that are too early.
#
# What happens: the regressor is 0, so the design matrix has no full rank, and its repair
# replaces the zeros by some 1e-14 in a direction of its own. That is fitted like any
# column, and a tiny effect divided by its tiny deviation gives finite z, t and p that
# look like those of a condition without response. With signal_scaling=False they follow
# the mean of the voxel: nearly the whole brain responds, up or down as the model of the
# response has it. The warning is of a singular matrix, not of a condition or of events.
#
# Version: nilearn 0.14.1.
# Matters to: maps of contrasts as a modality, over many people with the same table of
# events: who left early has a map like everybody else, and a mean of runs by precision
# takes the run without the condition and leaves out the one with it.
# Source: nilearn/glm/_utils.py, full_rank, which make_first_level_design_matrix calls;
# late onsets are put on the last sample in first_level/hemodynamic_models.py.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nilearn==0.14.1' 'nibabel==5.4.2' 'scikit-learn==1.9.1' 'scipy==1.17.1' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$dir"
venv/bin/python - <<'EOF'
import warnings
import nibabel as nib, nilearn, numpy as np, pandas as pd
from nilearn.glm.contrasts import compute_fixed_effects
from nilearn.glm.first_level import FirstLevelModel

print("guess: a condition after the end of the run is refused, NaN or 0")
print("versions: nilearn", nilearn.__version__, "nibabel", nib.__version__, "numpy", np.__version__)
rng, scans, tr = np.random.default_rng(0), 100, 2.0
mask = nib.Nifti1Image(np.ones((8, 8, 8), "u1"), np.eye(4))

def scan(effect=0.0):
    values = 1000 + 10 * rng.normal(size=(8, 8, 8, scans))
    values[..., 77:81] += effect
    return nib.Nifti1Image(values.astype("f4"), np.eye(4))

def events(last, unit=1.0):
    return pd.DataFrame({"onset": np.array([20.0, 60, 100, last]) * unit, "duration": 5.0 * unit, "trial_type": ["a", "a", "a", "b"]})

def fitted(image, table, contrast="b", **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = FirstLevelModel(t_r=tr, mask_img=mask, verbose=0, **options).fit(image, events=table)
        column = float(model.design_matrices_[0][contrast].abs().max())
        maps = model.compute_contrast(contrast, output_type="all")
    said = [str(w.message) for w in caught if w.category is UserWarning or "singular" in str(w.message)]
    return maps, maps["z_score"].get_fdata(), column, [text for text in said if "onset" in text or "singular" in text]

rest = scan()
for name, last, options in (("within the run", 150, {}), ("after its end", 250, {}), ("after, unscaled", 250, {"signal_scaling": False}),
                            ("after, unscaled, spm", 250, {"signal_scaling": False, "hrf_model": "spm"})):
    _, z, column, said = fitted(rest, events(last), **options)
    share = float((np.abs(z) > 3.1).mean())
    print(f"seen: rest, event {name}: regressor up to {column:.1e}, z {z.min():.1f} to {z.max():.1f}, "
          f"median {np.median(z):.1f}, |z| > 3.1 in {share:.0%} of voxels; warnings: {said}")
    assert np.isfinite(z).all() and not any("onset" in text for text in said)
    assert column > 0.1 if last == 150 else 0 < column < 1e-12
    assert share > 0.5 if "unscaled" in name else 0.8 < z.std() < 1.2

_, z, column, said = fitted(rest, events(150, unit=1000.0), contrast="a")
print(f"seen: all onsets in milliseconds: regressor up to {column:.1e}, z {z.min():.1f} to {z.max():.1f}; warnings: {said}")
assert np.isfinite(z).all() and 0.8 < z.std() < 1.2 and column < 1e-12
_, _, _, said = fitted(rest, events(-100))
print("seen: an event long before the run:", said)
assert any("onset" in text for text in said)

# Two runs: in the first the condition has a strong effect, the second was stopped before it.
first, second = fitted(scan(effect=30.0), events(150))[0], fitted(scan(), events(250))[0]
both = compute_fixed_effects([m["effect_size"] for m in (first, second)], [m["effect_variance"] for m in (first, second)],
                             mask=mask, precision_weighted=True)
effects = [float(np.mean(m.get_fdata())) for m in (first["effect_size"], second["effect_size"], both[0])]
print(f"seen: mean effect in the first run {effects[0]:.2f}, in the second {effects[1]:.0e}, of both by precision {effects[2]:.0e}")
assert effects[0] > 1 and abs(effects[1]) < 1e-10 and abs(effects[2]) < 1e-10
EOF
