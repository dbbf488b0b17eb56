"""Executes the notebooks, and keeps their outputs, without images of more than 50 kB.

``run.py [NAMES]`` writes what was executed; ``run.py --check [NAMES]`` only says whether all cells run.
"""

import json
import pathlib
import re
import sys
import time

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).parent
#: Characters of an image in a notebook.
MOST = 50_000


def executed(path, seconds=600):
    notebook = nbformat.read(path, as_version=4)
    # In the folder of the notebooks nothing is left behind.
    NotebookClient(notebook, timeout=seconds, kernel_name="python3").execute()
    return notebook


def stripped(notebook):
    """The same without what changes with every execution, and without large outputs."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            if "text" in output:
                # Where a cell was executed.
                output["text"] = re.sub(r"\S*ipykernel_\S*: ", "", output["text"])
            data = output.get("data", {})
            for kind in [kind for kind, value in data.items() if kind.startswith("image/") and len(value) > MOST]:
                del data[kind]
    return notebook


def main():
    words = [word for word in sys.argv[1:] if word != "--check"]
    paths = [HERE / f"{word.removesuffix('.ipynb')}.ipynb" for word in words] or sorted(HERE.glob("*.ipynb"))
    for path in paths:
        began = time.monotonic()
        notebook = executed(path)
        if "--check" not in sys.argv:
            text = json.dumps(stripped(notebook), indent=1, ensure_ascii=False, sort_keys=True)
            path.write_text(text + "\n", encoding="utf-8")
        print(f"{path.name}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
