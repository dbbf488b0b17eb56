#!/usr/bin/env bash
# Expected: `las.temperature > 37.3` selects the points whose temperature, as laspy gives it,
# is greater than 37.3, and is the same as `np.asarray(las.temperature) > 37.3`.
#
# What happens: the points are not converted; the number is, to the unit in which they are
# stored, and it is rounded there. With steps of half a degree 37.3 becomes 37.5, so points of
# 37.5 are not above 37.3, but they are at or below it, and equal to it. Which points are
# selected by a threshold depends on the scale of the file: the same measurements stored in
# steps of 0.01 give what one expects. Coordinates are compared in this way too.
#
# Version: laspy 2.7.0.
# Matters to: point clouds with measured extra dimensions (temperature, reflectance, quality,
# scores of a network) that are filtered by a threshold: a whole level of the measure is lost
# or gained, silently, and files of two devices with other scales are filtered differently.
# Source: laspy/point/dims.py, ScaledArrayView._do_comparison and _remove_scale (np.round).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'laspy==2.7.0' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import laspy, numpy as np

print("guess: points of 37.5 are above a threshold of 37.3, whatever the scale of the file")
print("versions: laspy", laspy.__version__, "numpy", np.__version__)
measured = np.repeat([36.5, 37.0, 37.5, 38.0], [400, 300, 200, 100])

def cloud(step):
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.scales = [0.1, 0.1, 0.1]
    header.add_extra_dim(laspy.ExtraBytesParams("temperature", "uint16", offsets=np.array([0.0]), scales=np.array([step])))
    las = laspy.LasData(header)
    las.x = las.y = np.zeros(1000)
    las.z = measured
    las.temperature = measured
    las.write("cloud.las")
    return laspy.read("cloud.las")

for step in (0.5, 0.01):
    las = cloud(step)
    assert np.allclose(las.temperature, measured)
    found = {"> 37.3": las.temperature > 37.3, "<= 37.3": las.temperature <= 37.3, "== 37.3": las.temperature == 37.3,
             "asarray > 37.3": np.asarray(las.temperature) > 37.3}
    count = {name: int(np.sum(np.asarray(mask))) for name, mask in found.items()}
    print(f"seen: steps of {step}: of 1000 points", ", ".join(f"{n} are {name}" for name, n in count.items()))
    coarse = step == 0.5
    assert list(count.values()) == ([100, 900, 200, 300] if coarse else [300, 700, 0, 300])
heights = int((las.z > 37.46).sum()), int((np.asarray(las.z) > 37.46).sum())
print("seen: height in steps of 0.1 above 37.46:", heights[0], "points, and of the heights as an array", heights[1])
assert heights == (100, 300)
PY
