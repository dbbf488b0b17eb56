"""The six tables of `mfeat` for both libraries: standardised, split, and with half of them missing.

    python mfeat.py FOLDER-OF-MFEAT

writes mfeat-full.toml and mfeat-half.toml with their folders, and mfeat.npz with the same values,
parts and masks for Python. Test rows are complete in both; every row keeps a table.
"""
import gzip
import os
import sys

import numpy as np

source = sys.argv[1]
names = ["fac", "fou", "kar", "mor", "pix", "zer"]
values, digits = {}, None
for name in names:
    lines = gzip.open(f"{source}/mfeat-{name}.csv.gz").read().split(b"\n")[1:]
    table = np.array([line.strip().split(b",") for line in lines if line.strip()], np.float64)
    values[name], digits = table[:, :-1], table[:, -1].astype(int)

rng = np.random.default_rng(0)
order = rng.permutation(len(digits))
part = np.full(len(digits), "train")
part[order[:400]], part[order[400:600]] = "test", "valid"
observed = rng.random((len(digits), len(names))) < 0.5
for row in np.flatnonzero(~observed.any(1)):
    observed[row, rng.integers(len(names))] = True
observed[part == "test"] = True
for name, table in values.items():
    deviation = table[part == "train"].std(0)
    table = (table - table[part == "train"].mean(0)) / np.where(deviation > 0, deviation, 1)
    values[name] = table.astype(np.float32)
np.savez("mfeat.npz", y=digits, part=part, mask=observed, **values)

for kind in ["full", "half"]:
    folder = f"mfeat-{kind}"
    os.makedirs(folder)
    with open(f"{folder}.toml", "w") as manifest:
        for j, name in enumerate(names):
            with open(f"{folder}/{name}.csv", "w") as file:
                columns = [f"{name}{i}" for i in range(values[name].shape[1])]
                file.write(",".join(["id", *columns]) + "\n")
                for row, numbers in enumerate(values[name]):
                    if kind == "full" or observed[row, j]:
                        cells = [repr(float(number)) for number in numbers]
                        file.write(",".join([f"r{row:04}", *cells]) + "\n")
            manifest.write(
                f'[[modality]]\nname = "{name}"\nfile = "{folder}/{name}.csv"\nid = "id"\n'
                'likelihood = { kind = "normal" }\n\n'
            )
        rows = f'file = "{folder}/rows.csv"\nid = "id"\n'
        manifest.write(f'[labels]\n{rows}column = "digit"\n\n[splits]\n{rows}column = "part"\n')
    with open(f"{folder}/rows.csv", "w") as file:
        file.write("id,digit,part\n")
        for row, digit in enumerate(digits):
            file.write(f"r{row:04},{digit},{part[row]}\n")
