#!/usr/bin/env bash
# Expected: mean() of an irregularly sampled signal of several channels is a mean per channel,
# or over all channels, and lies between the lowest and the highest value, as for a regularly
# sampled signal.
#
# What happens: the channels are added up and divided by the duration alone, so the mean is the
# sum of the means of the channels: of two channels that are 5 throughout it is 10, and it
# grows with every channel that is merged in. With one channel it is right. A regularly sampled
# signal of the same values has a mean of 5.
#
# Version: neo 0.14.6 with quantities 0.16.4.
# Matters to: sensors that are read together at irregular times (chemistry, eye positions,
# battery and temperature of a robot); features and baselines change with the number of channels.
# Source: neo/core/irregularlysampledsignal.py, mean: sum() over time and channels / duration.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'neo==0.14.6' 'quantities==0.16.4' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import neo, numpy as np, quantities as pq

print("guess: a mean lies between the lowest and the highest value")
print("versions: neo", neo.__version__, "quantities", pq.__version__, "numpy", np.__version__)
times = [0, 1, 3, 4, 8] * pq.s

def sensor(value):
    return neo.IrregularlySampledSignal(times, np.full((5, 1), value), units="mV")

signal = sensor(5.0)
for channels in (1, 2, 3):
    regular = neo.AnalogSignal(np.full((5, channels), 5.0), units="mV", sampling_rate=1 * pq.Hz)
    found = float(np.asarray(signal.mean()))
    print(f"seen: {channels} channels of 5 mV: mean {found:.1f}, lowest {float(signal.magnitude.min())}, "
          f"highest {float(signal.magnitude.max())}, regularly sampled {float(np.asarray(regular.mean())):.1f}")
    assert signal.shape == (5, channels) and found == 5.0 * channels and float(np.asarray(regular.mean())) == 5.0
    signal = signal.merge(sensor(5.0))
left, right = sensor(40.0), sensor(60.0)
print("seen: eyes at 40 and 60 mV, merged:", float(np.asarray(left.merge(right).mean())))
assert float(np.asarray(left.merge(right).mean())) == 100.0
PY
