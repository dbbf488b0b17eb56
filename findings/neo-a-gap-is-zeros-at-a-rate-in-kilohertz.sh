#!/usr/bin/env bash
# Expected: concatenate refuses signals with a gap between them unless a padding is asked for,
# as it is documented, and 1 kHz and 1000 Hz are the same rate.
#
# What happens: the length of the gap, without its unit, is compared with the sampling period
# as a number, and the period of 1 kHz is 1 (/kHz), that of 1000 Hz is 0.001. So with times in
# seconds a gap of half a second is an error at 1000 Hz, and at 1 kHz it is filled with the
# value of "no padding", which is False: five hundred samples of 0.0 V, without a warning.
# At 0.001 MHz the gap may be as long as a quarter of an hour.
#
# Version: neo 0.14.6 with quantities 0.16.4.
# Matters to: recordings that were stopped and started again, or lost packets: the pause is a
# measured silence in one modality, while another, whose rate is in Hz, would have refused.
# Source: neo/core/analogsignal.py, concatenate: np.diff(np.asarray(ranges)) > sampling_period.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'neo==0.14.6' 'quantities==0.16.4' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import neo, numpy as np, quantities as pq
from neo.core.baseneo import MergeError

print("guess: a gap of half a second is refused, whatever the unit of the rate")
print("versions: neo", neo.__version__, "quantities", pq.__version__, "numpy", np.__version__)

def joined(rate, gap):
    first, second = (neo.AnalogSignal(np.full((1000, 1), 5.0), units="mV", sampling_rate=rate, t_start=start * pq.s)
                     for start in (0, 1 + gap))
    try:
        return first.concatenate(second)
    except MergeError:
        return None

assert 1 * pq.kHz == 1000 * pq.Hz
for rate, gap in ((1000 * pq.Hz, 0.5), (1 * pq.kHz, 0.5), (1 * pq.kHz, 2.0), (0.001 * pq.MHz, 2.0)):
    signal = joined(rate, gap)
    told = "refused" if signal is None else (f"{len(signal)} samples, {(signal.magnitude == 0).sum()} of them 0 mV, "
                                             f"mean {float(signal.magnitude.mean()):.2f} mV instead of 5")
    print(f"seen: {rate}, gap of {gap} s: {told}")
    if (rate.dimensionality.string, gap) in (("kHz", 0.5), ("MHz", 2.0)):
        assert len(signal) == 2000 + 1000 * gap and (signal.magnitude == 0).sum() == 1000 * gap
    else:
        assert signal is None
padded = neo.AnalogSignal(np.full((1000, 1), 5.0), units="mV", sampling_rate=1 * pq.kHz).concatenate(
    neo.AnalogSignal(np.full((1000, 1), 5.0), units="mV", sampling_rate=1 * pq.kHz, t_start=1.5 * pq.s), padding=True)
print("seen: with padding=True", int(np.isnan(padded.magnitude).sum()), "samples are NaN")
assert np.isnan(padded.magnitude).sum() == 500
PY
