"""Writes `python/multivae_rs/_models.py`: a class for each model, of what the program says of it.

Run it after a model or one of its settings has changed; with `--check` it only says whether it has to be
run.
"""

import importlib.machinery
import importlib.util
import json
import keyword
import pathlib
import sys
import textwrap
import tomllib

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE / "python" / "multivae_rs"
OUT = PACKAGE / "_models.py"
PAGES = HERE.parent.parent / "docs" / "models"

COMMON = [
    ("encoder", "Any", "None", "network from values to the posterior, of all modalities or a mapping by name; see `nn`"),
    ("decoder", "Any", "None", "network from latent values to a likelihood, likewise"),
    ("likelihoods", "Any", "None", "likelihood of all modalities or a mapping by name, as `\"negative_binomial\"` or `{\"kind\": \"laplace\", \"scale\": 0.75}`; what is not said follows from the data"),
    ("epochs", "int", "30", "epochs of the whole run"),
    ("batch_size", "int | None", "None", "rows of a batch; the program's default if not said"),
    ("learning_rate", "float | None", "None", "of the optimiser; the program's default if not said"),
    ("seed", "int", "0", "what first weights, order of rows and noise derive from"),
    ("valid", "float", "0.1", "share of the rows by which the best epoch is chosen"),
    ("test", "float", "0.0", "share of the rows that is kept for `evaluate()`"),
    ("standardise", "str", '"auto"', "`\"auto\"` (tables yes, images no) or `\"none\"`"),
    ("settings", "dict[str, Any] | None", "None", "any other key of the configuration, as `{\"train.clip.max\": 1.0}`"),
    ("device", "str | None", "None", "where it is trained and used; `devices()` lists them"),
    ("out", "str | None", "None", "folder of the run, which must be new; a temporary one if not said"),
    ("verbose", "bool", "False", "whether it is shown how the training goes"),
]  # fmt: skip


def native():
    """The module that was built, without the package, which needs what is written here."""
    places = [PACKAGE]
    installed = importlib.util.find_spec("multivae_rs")
    if installed is not None:
        places += map(pathlib.Path, installed.submodule_search_locations or [])
    found = (path for place in places for end in (".so", ".pyd") for path in place.glob(f"_native*{end}"))
    path = next(found, None)
    if path is None:
        sys.exit("there is no compiled module: build it, or install the package")
    loader = importlib.machinery.ExtensionFileLoader("_native", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_native", loader))
    loader.exec_module(module)
    return module


def class_name(title):
    """As `mcVAE` becomes `MCVAE` and `MMVAE++` `MMVAEPlusPlus`."""
    plain = title.replace("+", "Plus").replace("-", "").replace(" ", "")
    start = len(plain) - len(plain.lstrip("abcdefghijklmnopqrstuvwxyz"))
    return plain[:start].upper() + plain[start:]


def meanings(text):
    """The comments above the keys of the section of the model."""
    found, section, comment = {}, "", []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("#"):
            comment.append(line.lstrip("# "))
            continue
        if line.startswith("["):
            section = line.strip("[]")
            key = section
        else:
            key = f"{section}.{line.split(' = ')[0]}" if " = " in line else ""
        if key and comment:
            found[key] = " ".join(comment)
        comment = []
    return found


def hint(value):
    """The type of a setting by its default."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    return "Any"


def literal(value):
    """The default; of what can be changed in its place none, which leaves it to the program."""
    return json.dumps(value) if isinstance(value, str) else repr(None if isinstance(value, (dict, list)) else value)


def wrapped(text, indent):
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent)


def source(module):
    names = module.models()
    classes = []
    for name, about in names:
        title = (PAGES / f"{name}.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        model = json.loads(module.defaults(name))["model"]
        text = module.commented(name)
        tomllib.loads(text)
        said = meanings(text)
        common = {entry[0] for entry in COMMON}
        assert not common & set(model), (name, common & set(model))
        # Words of Python have a line behind them, as everywhere.
        keys = [key + "_" * keyword.iskeyword(key) for key in model if key not in ("name", "modalities")]
        own = [(key, hint(value), literal(value)) for key, value in zip(keys, map(lambda key: model[key.rstrip("_")], keys))]
        lines = [f"class {class_name(title)}(Model):", f'    """{title}: {about}.' if len(about) < 90 else f'    """{title}.']
        if len(about) >= 90:
            lines += ["", wrapped(about + ".", "    ")]
        lines += ["", "    Parameters", "    ----------"]
        for key, _, default in own:
            lines.append(f"    {key}")
            meaning = said.get(f"model.{key.rstrip('_')}", "").rstrip(".")
            value = json.dumps(model[key.rstrip("_")])
            lines.append(wrapped(f"{meaning}; {value} if not said" if meaning else f"{value} if not said", "        "))
        for key, _, _, meaning in COMMON:
            lines += [f"    {key}", wrapped(meaning, "        ")]
        lines += ['    """', "", f'    _name = "{name}"']
        lines.append(f"    _keys = ({''.join(f'{key!r}, ' for key in keys)})".replace("'", '"'))
        lines += ["", "    def __init__(", "        self,", "        *,"]
        lines += [f"        {key}: {kind} = {default}," for key, kind, default in own]
        lines += [f"        {key}: {kind} = {default}," for key, kind, default, _ in COMMON]
        lines += ["    ) -> None:"]
        lines += [f"        self.{key} = {key}" for key, *_ in [*own, *COMMON]]
        classes.append((class_name(title), "\n".join(lines)))
    listed = ", ".join(f'"{name}"' for name, _ in classes)
    head = [
        '"""The models, written by `generate.py`."""',
        "",
        "# ruff: noqa: E501",
        "# fmt: off",
        "",
        "from __future__ import annotations",
        "",
        "from typing import Any",
        "",
        "from ._model import Model",
        "",
        textwrap.fill(f"__all__ = [{listed}]", 100, subsequent_indent="    "),
    ]
    return "\n".join(head) + "\n\n\n" + "\n\n\n".join(text for _, text in classes) + "\n"


def main():
    text = source(native())
    if "--check" in sys.argv:
        if not OUT.is_file() or OUT.read_text(encoding="utf-8") != text:
            sys.exit(f"{OUT} is not what `python generate.py` writes: run it")
        return
    OUT.write_text(text, encoding="utf-8")
    print(f"{OUT}: {text.count('class ')} classes")


if __name__ == "__main__":
    main()
