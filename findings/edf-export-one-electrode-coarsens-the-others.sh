#!/usr/bin/env bash
# Expected: EDF stores a range for each channel, so on export every channel is
# scaled to its own range and keeps nearly all of its 16 bits.
#
# What happens: MNE's default gives all channels of one type the same range. One
# EEG electrode with an offset of 0.2 V leaves about twenty levels to the others,
# whose error grows a thousandfold and more; the file is valid and looks alike on
# a screen. physical_range="channelwise" is what one expects. Dropping the bad
# channel before the export is enough, marking it as bad is not.
#
# Version: mne 1.13.2 with edfio 0.4.18.
# Matters to: physiological signals exchanged as EDF: the noise of all electrodes
# of a person depends on the worst one, which differs between sites and people.
# Source: mne.export.export_raw, physical_range="auto".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'mne==1.13.2' 'edfio==0.4.18' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import edfio, mne, numpy as np

mne.set_log_level("ERROR")
print("guess: every channel keeps its own range and its 16 bits")
print("versions: mne", mne.__version__, "edfio", edfio.__version__)
rng = np.random.default_rng(0)
volts = 10e-6 * rng.normal(size=(3, 3000))
volts[2] += 0.2  # an electrode that has drifted away
raw = mne.io.RawArray(volts, mne.create_info(["Cz", "Pz", "T7"], 100, "eeg"))
marked = raw.copy()
marked.info["bads"] = ["T7"]
cases = {
    "as it is": (raw, "auto"),
    "T7 marked as bad": (marked, "auto"),
    "T7 dropped": (raw.copy().drop_channels("T7"), "auto"),
    "channelwise": (raw, "channelwise"),
}
for name, (recording, scale) in cases.items():
    recording.export("signal.edf", physical_range=scale, overwrite=True)
    read = mne.io.read_raw_edf("signal.edf").get_data(picks=["Cz"])[0]
    levels, error = len(np.unique(read)), np.std(read - volts[0]) / np.std(volts[0])
    print(f"seen: {name}: Cz has {levels} levels, error {error:.1e} of its spread")
    coarse = name in ("as it is", "T7 marked as bad")
    assert (levels < 40 and error > 0.05) if coarse else (levels > 2000 and error < 1e-3)
EOF
