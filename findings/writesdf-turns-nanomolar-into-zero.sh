#!/usr/bin/env bash
# Expected: PandasTools.WriteSDF writes a column of floats so that LoadSDF, or any other
# reader, gets the numbers again, as SDWriter does with properties of molecules and
# pandas with a file of text.
#
# What happens: floats are written with six decimals. An affinity of 5 nM in mol/l is
# 0.0, 1.4 and 0.6 micromolar are the same 0.000001, and everything below half a
# micromolar is gone. Columns of strings and integers are exact, columns of large floats
# too, and the table in memory is as it was; only the file has zeros.
#
# Version: rdkit 2026.9.1.
# Matters to: assays as a modality beside structures: units decide whether values
# survive. The best binders all become 0, their logarithm is infinite, and in a
# regression they are equal.
# Source: rdkit/Chem/PandasTools.py, WriteSDF: '{:f}', to keep exponents out of files.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'rdkit==2026.9.1' 'pandas==2.3.3' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import io
import numpy as np, pandas as pd, rdkit
from rdkit import Chem
from rdkit.Chem import PandasTools

print("guess: a file has the numbers of the table")
print("versions: rdkit", rdkit.__version__, "pandas", pd.__version__)
molar = [5e-9, 2.5e-7, 6e-7, 1.4e-6, 3.2e-5, 0.001]
table = pd.DataFrame({"ROMol": [Chem.MolFromSmiles("C" * n) for n in range(1, 7)], "Kd": molar,
                      "text": [str(value) for value in molar], "count": np.full(6, 2**40), "p": -np.log10(molar)})
PandasTools.WriteSDF(table, "table.sdf", properties=["Kd", "text", "count", "p"])
loaded = PandasTools.LoadSDF("table.sdf")
written, text = loaded["Kd"].tolist(), loaded["text"].astype(float).tolist()
print("seen: Kd in mol/l", molar, "written as", written)
print("seen: the same as text:", text == molar, "; of six values", len(set(written)), "are different")
assert written == ["0.0", "0.0", "0.000001", "0.000001", "0.000032", "0.001"]
assert text == molar and loaded["count"].astype(int).tolist() == [2**40] * 6 and table["Kd"].tolist() == molar

with np.errstate(divide="ignore"):
    print("seen: their pKd", (-np.log10(loaded["Kd"].astype(float))).round(2).tolist(), "instead of", table["p"].round(2).tolist())
assert np.isinf(-np.log10(loaded["Kd"].astype(float) + 0.0)).sum() == 2

with Chem.SDWriter("molecules.sdf") as writer:
    for mol, value in zip(table["ROMol"], molar):
        mol.SetDoubleProp("Kd", value)
        writer.write(mol)
by_writer = [mol.GetDoubleProp("Kd") for mol in Chem.SDMolSupplier("molecules.sdf")]
by_text = pd.read_csv(io.StringIO(table[["Kd"]].to_csv(index=False)))["Kd"].tolist()
print("seen: by SDWriter", by_writer, "; by to_csv the same:", by_text == molar)
assert np.allclose(by_writer, molar, rtol=1e-9) and by_text == molar
EOF
