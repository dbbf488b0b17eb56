#!/usr/bin/env bash
# Expected: time_slice of an irregularly sampled signal has the samples of the window, so where
# none was taken it is empty, as events, epochs and spike trains are, or it raises, as regularly
# sampled signals do.
#
# What happens: it is the whole recording. The slice is from the first sample in the window to
# the first one after it, both are None where there is none, and signal[None:None] is all of
# it. Means and counts per trial are then those of the whole session wherever a trial has no
# sample, before the sensor was switched on and after it was switched off too. Slices of a
# segment have it as well, beside events that are empty.
#
# Version: neo 0.14.6 with quantities 0.16.4.
# Matters to: sparse measurements (glucose, blood gas, eye blinks, touches) beside continuous
# ones: a modality that is missing in a trial has the average of the session there.
# Source: neo/core/irregularlysampledsignal.py, time_slice: id_start and id_stop stay None.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'neo==0.14.6' 'quantities==0.16.4' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import neo, numpy as np, quantities as pq

print("guess: a window in which nothing was measured has no samples")
print("versions: neo", neo.__version__, "quantities", pq.__version__, "numpy", np.__version__)
times, values = [60, 65, 70, 130, 135, 190], [5.0, 5.2, 5.1, 9.0, 9.2, 6.0]
glucose = neo.IrregularlySampledSignal(times * pq.minute, values, units="mol/m**3")
meals = neo.Event(times * pq.minute, labels=list("abcdef"))
session = neo.Segment()
session.irregularlysampledsignals.append(glucose)
session.events.append(meals)

for start, stop, inside in ((60, 80, 3), (120, 140, 2), (80, 120, 0), (0, 50, 0), (200, 300, 0)):
    part = session.time_slice(start * pq.minute, stop * pq.minute)
    found = glucose.time_slice(start * pq.minute, stop * pq.minute)
    same = part.irregularlysampledsignals[0]
    events = sum(len(event) for event in part.events)
    print(f"seen: {start} to {stop} min, {inside} measured: {len(found)} samples with a mean of {float(found.magnitude.mean()):.2f} "
          f"from {float(found.t_start):.0f} to {float(found.t_stop):.0f} min, in the segment {len(same)}, events {events}")
    assert events == inside and len(found) == len(same) == (inside or 6)
    assert np.array_equal(found.magnitude.ravel(), [v for t, v in zip(times, values) if start <= t <= stop] or values)
try:
    neo.AnalogSignal(np.zeros((10, 1)), units="mV", sampling_rate=1 * pq.Hz).time_slice(20 * pq.s, 30 * pq.s)
    raise SystemExit("a regularly sampled signal was cut outside of itself")
except ValueError as error:
    print("seen: a regularly sampled signal raises", type(error).__name__)
PY
