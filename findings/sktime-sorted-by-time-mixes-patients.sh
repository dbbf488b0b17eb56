#!/usr/bin/env bash
# Expected: a table with an index of patients and times is the same panel of
# series whether its rows stand patient by patient or time by time; the index names
# them, and sktime's own check of the format accepts both.
#
# What happens: to make an array of patients, variables and times, the rows are cut
# into equal pieces from the top, without a look at the index. Of a table by time
# every "series" is then made of values of many patients. The conversion to nested
# frames is right for both orders, so estimators that use one agree and those that
# use the other do not. A classifier that learned from a table by patient and then
# sees new patients by time falls from no error to a coin's, or worse.
#
# Version: sktime 1.2.0.
# Matters to: signals of several devices that were merged on time, or that a data
# base returns by time: one modality is shuffled between people, while labels and
# the other modalities stay where they are.
# Source: sktime/datatypes/_panel/_convert.py, from_multi_index_to_3d_numpy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'sktime==1.2.0' 'numpy==2.4.6' 'pandas==3.0.6' 'scikit-learn==1.9.1' 'scipy==1.17.1'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import numpy as np, pandas as pd, sktime
from sktime.classification.feature_based import SummaryClassifier
from sktime.classification.interval_based import TimeSeriesForestClassifier
from sktime.datatypes import check_is_mtype, convert

print("guess: the order of rows is nothing, since the index names patient and time")
print("versions: sktime", sktime.__version__, "pandas", pd.__version__, "numpy", np.__version__)

def panel(values):
    rows = [(p, t, v) for p, series in values.items() for t, v in enumerate(series)]
    table = pd.DataFrame(rows, columns=["patient", "time", "x"])
    return [table.sort_values(by, kind="stable").set_index(["patient", "time"]) for by in ("patient", "time")]

by_patient, by_time = panel({"p1": [100, 101, 102, 103], "p2": [200, 201, 202, 203]})
assert by_time.sort_index().equals(by_patient)
found = {}
for order, table in (("patient", by_patient), ("time", by_time)):
    valid = check_is_mtype(table, "pd-multiindex", "Panel")
    array = convert(table, "pd-multiindex", "numpy3D", "Panel")[:, 0].tolist()
    nested = [list(series) for series in convert(table, "pd-multiindex", "nested_univ", "Panel")["x"]]
    print(f"seen: by {order}: valid {valid}, array {array}, nested {nested}")
    assert valid and nested == [[100, 101, 102, 103], [200, 201, 202, 203]]
    found[order] = array
assert found == {"patient": [[100, 101, 102, 103], [200, 201, 202, 203]],
                 "time": [[100, 200, 101, 201], [102, 202, 103, 203]]}

# Waves of two lengths, forty patients to learn from and forty new ones.
rng, times = np.random.default_rng(0), np.arange(30)
waves = {f"p{i:02d}": np.sin(2 * np.pi * times / (10 + 10 * (i % 2))) + 0.3 * rng.normal(size=30) for i in range(80)}
names, labels = list(waves), np.arange(40) % 2
learn = panel({name: waves[name] for name in names[:40]})[0]
new = panel({name: waves[name] for name in names[40:]})
for classifier in (TimeSeriesForestClassifier(n_estimators=50, random_state=0), SummaryClassifier(random_state=0)):
    classifier.fit(learn, labels)
    right, mixed = (float((classifier.predict(table) == labels).mean()) for table in new)
    print(f"seen: {type(classifier).__name__}: {right:.2f} right by patient, {mixed:.2f} by time")
    assert right > 0.9 and mixed < 0.75
EOF
