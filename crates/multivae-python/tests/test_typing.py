"""Types of the package are whole and true, and what is written by programs is as it would be written now."""

import ast
import importlib.util
import inspect
import pathlib
import site
import subprocess
import sys
import textwrap

import pytest

import multivae_rs as mv
from multivae_rs import _native

HERE = pathlib.Path(__file__).parent.parent
PACKAGE = pathlib.Path(mv.__file__).parent

USER = """
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import assert_type

    import multivae_rs as mv

    rows: dict[str, NDArray[np.float32]] = {"a": np.zeros((4, 2), np.float32)}
    model = mv.MVTCAE(latent=3, epochs=2, encoder=[mv.nn.Linear(8), mv.nn.SiLU()], settings={"train.warmup_steps": 5})
    assert_type(model.fit(rows, callback=lambda epoch: None), mv.MVTCAE)
    assert_type(model.score(rows), float)
    assert_type(model.encode(rows, given="a"), mv.Rows)
    spread: float = float(model.impute(rows, samples=5).std["a"].mean())
    assert_type(model.evaluate(rows, metrics=["evaluation"])["elbo"], float)
    assert_type(mv.load("run"), mv.Model)
    names: list[str] = list(mv.models())
"""


def _checker(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed, and nothing is checked here: `pip install {name}`")


def _run(*words, **how):
    return subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, **how)


def test_mypy_finds_nothing_in_the_package(tmp_path):
    _checker("mypy")
    done = _run("mypy", "--cache-dir", tmp_path, cwd=HERE)
    assert done.returncode == 0, done.stdout


def _found(environment):
    """Where the package is found, unless it is installed, where mypy wants to find it by itself."""
    place = environment["PYTHONPATH"]
    return environment if place in site.getsitepackages() else {**environment, "MYPYPATH": place}


def test_mypy_reads_the_program_of_a_user(tmp_path, environment):
    _checker("mypy")
    program = tmp_path / "user.py"
    program.write_text(textwrap.dedent(USER))
    done = _run("mypy", "--strict", "--cache-dir", tmp_path / "cache", program, env=_found(environment))
    assert done.returncode == 0, done.stdout
    program.write_text("import multivae_rs as mv\nmv.MVAE(latnt=3)\nmv.MVAE(latent='x')\nmv.Nonsense()\n")
    wrong = _run("mypy", "--strict", "--cache-dir", tmp_path / "cache", program, env=_found(environment))
    assert wrong.returncode == 1
    assert all(f"user.py:{line}: error" in wrong.stdout for line in (2, 3, 4)), wrong.stdout


def test_the_stub_says_what_the_module_has():
    tree = ast.parse((PACKAGE / "_native.pyi").read_text(encoding="utf-8"))
    said, kinds = {}, {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            said[node.name] = node
        elif isinstance(node, ast.ClassDef):
            kinds[node.name] = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
    there = {name for name in vars(_native) if not name.startswith("_")}
    assert set(said) | set(kinds) == there
    for name, node in said.items():
        _same_parameters(getattr(_native, name), node)
    for name, methods in kinds.items():
        kind = getattr(_native, name)
        assert set(methods) - {"__init__"} == {part for part in vars(kind) if not part.startswith("_")}, name
        for method, node in methods.items():
            if method != "__init__" and not _is_property(node):
                _same_parameters(getattr(kind, method), node)


def _is_property(node):
    return any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)


def _same_parameters(function, node):
    mine = [name for name in inspect.signature(function).parameters if name != "self"]
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    assert mine == [argument.arg for argument in arguments if argument.arg != "self"], node.name


def test_the_classes_are_those_of_the_program():
    if not (HERE.parent.parent / "docs" / "models").is_dir():
        pytest.skip("these are not the sources of the workspace")
    done = subprocess.run([sys.executable, HERE / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_everything_public_is_documented():
    bare = []
    for name in mv.__all__:
        value = getattr(mv, name)
        if not inspect.getdoc(value):
            bare.append(name)
        if inspect.isclass(value):
            for part, function in vars(value).items():
                if not part.startswith("_") and callable(function) and not inspect.getdoc(function):
                    bare.append(f"{name}.{part}")
    for name in mv.nn.__all__:
        if inspect.isclass(getattr(mv.nn, name)) and not getattr(mv.nn, name).__doc__:
            bare.append(f"nn.{name}")
    assert not bare
    for name in mv._models.__all__:
        kind = getattr(mv, name)
        assert "Parameters" in kind.__doc__
        missing = [setting for setting in kind._defaults() if f"\n    {setting}\n" not in kind.__doc__]
        assert not missing, (name, missing)
