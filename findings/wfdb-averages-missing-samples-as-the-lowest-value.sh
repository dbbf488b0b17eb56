#!/usr/bin/env bash
# Expected: where wfdb reads signals of several rates with one value a frame, which it does
# unless told otherwise, a value is the mean of the samples of its frame that are there, or
# NaN if one of them is missing.
#
# What happens: it is NaN only if all of them are missing. Otherwise the mark for missing,
# the lowest number of the format, is averaged with the measured ones as if it were one: it
# stands a little below the lowest value of the record, so the mean is within the range of
# what was measured. A pulse of 100 of which every other sample is missing is 80, or 70 if
# three of four are, without a NaN; each gap that begins or ends within a frame has such a
# value at its end. smooth_frames=False has the samples and NaN in their places.
#
# Version: wfdb 4.3.1.
# Matters to: records of several sensors with rates of their own, gaps and drop-outs: the
# missing parts become measurements, and low ones.
# Source: wfdb/io/_signal.py, smooth_frames, which averages the numbers as they are stored,
# before the mark is looked for.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'wfdb==4.3.1' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import numpy as np, wfdb

print("guess: the mean of what a frame has, or NaN")
print("versions: wfdb", wfdb.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
frames = 500
ecg = rng.normal(size=4 * frames)
pulse = np.full(4 * frames, 100.0)
pulse[-40:] = np.linspace(60.0, 140.0, 40)
# Frames of four samples: half of them gone, three of four gone, a gap that begins and ends within a frame.
pulse[400:800:2] = np.nan
pulse[800:1200] = np.where(np.arange(400) % 4 == 0, 100.0, np.nan)
pulse[1202:1302] = np.nan
wfdb.wrsamp("record", fs=50, units=["mV", "bpm"], sig_name=["ecg", "pulse"], e_p_signal=[ecg, pulse],
            samps_per_frame=[4, 4], fmt=["16", "16"])

single = wfdb.rdrecord("record", smooth_frames=False).e_p_signal[1]
assert (np.isnan(single) == np.isnan(pulse)).all() and np.nanmax(np.abs(single - pulse)) < 0.01
smooth = wfdb.rdrecord("record").p_signal[:, 1]
assert np.array_equal(smooth, wfdb.rdsamp("record")[0][:, 1], equal_nan=True)
lowest = np.nanmin(pulse)
print(f"seen: with samples: all as written, between {np.nanmin(single):.1f} and {np.nanmax(single):.1f}, {np.isnan(single).sum()} NaN in their places")
for title, part, measured in (("nothing missing", slice(0, 100), 4), ("every other sample missing", slice(100, 200), 2),
                              ("three of four missing", slice(200, 300), 1)):
    values = smooth[part]
    print(f"seen: with frames, {title}: {np.isnan(values).sum()} NaN, values {values.min():.2f} to {values.max():.2f}, measured 100.00")
    assert not np.isnan(values).any() and np.allclose(values, (measured * 100 + (4 - measured) * lowest) / 4, atol=0.1)
edge = smooth[300:327]
print(f"seen: with frames, at the ends of the gap: {edge[0]:.2f} and {edge[25]:.2f}, within it {np.isnan(edge[1:25]).sum()} NaN of 24")
assert np.isnan(edge[1:25]).all() and np.allclose(edge[[0, 25]], (100 + lowest) / 2, atol=0.1) and np.isclose(edge[26], 100, atol=0.01)
PY
