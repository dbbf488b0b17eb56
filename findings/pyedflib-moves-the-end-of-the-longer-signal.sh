#!/usr/bin/env bash
# Expected: of two signals of different duration EdfWriter.writeSamples either cuts
# the longer one or fills the shorter one up with zeros; every sample that is in
# the file stands at its time.
#
# What happens: the last record has the shorter signal filled up, and of the longer
# one its very last samples, which belong to another time. What lies between is
# missing, and the file has one seamless signal: a record that goes on for ten
# minutes longer ends in the file with its last second, ten minutes early. If the
# shorter signal ends on the border of a record, the longer one is cut rightly.
#
# Version: pyedflib 0.1.42.
# Matters to: devices that do not stop together: the end of one modality is set
# beside a moment of the others at which it was not recorded.
# Source: pyedflib/edfwriter.py, writeSamples, after its loop over whole records.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'pyedflib==0.1.42' 'numpy==2.3.5'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, pyedflib
from importlib.metadata import version

print("guess: every sample in the file stands at its time")
print("versions: pyedflib", version("pyedflib"), "numpy", np.__version__)

def written(rates, lengths):
    """Signals whose value is the number of the sample, from 1, as they are read again."""
    headers = [dict(label=f"s{i}", dimension="uV", sample_frequency=rate, physical_min=-32768.0,
                    physical_max=32767.0, digital_min=-32768, digital_max=32767, transducer="",
                    prefilter="") for i, rate in enumerate(rates)]
    with pyedflib.EdfWriter("two.edf", len(rates), file_type=pyedflib.FILETYPE_EDFPLUS) as file:
        file.setSignalHeaders(headers)
        file.writeSamples([np.arange(1.0, length + 1) for length in lengths])
    with pyedflib.EdfReader("two.edf") as file:
        return [file.readSignal(i).round().astype(int) for i in range(len(rates))]

for rates, lengths in (((100, 100), (1000, 1000)), ((100, 100), (1000, 700)), ((100, 100), (1000, 750)),
                       ((256, 50), (256 * 20, 412)), ((100, 100), (700, 30_000)), ((100, 100), (750, 30_000))):
    read = written(rates, lengths)
    moved = []
    for rate, signal in zip(rates, read):
        wrong = np.flatnonzero((signal != np.arange(1, len(signal) + 1)) & (signal != 0))
        if len(wrong):
            moved.append((wrong[0] / rate, (signal[wrong[0]] - 1) / rate, len(wrong)))
    seconds = [length / rate for length, rate in zip(lengths, rates)]
    said = [f"{n} samples from {there:g} s on are those from {truth:g} s on" for there, truth, n in moved]
    print(f"seen: {seconds[0]:g} s and {seconds[1]:g} s: file of {len(read[0]) / rates[0]:g} s; "
          + ("; ".join(said) or "all at their time"))
    shorter, longer = sorted(seconds)
    assert len(moved) == (shorter < longer and shorter % 1 > 0)
    for there, truth, n in moved:
        assert there == shorter // 1 and truth == longer - 1
EOF
