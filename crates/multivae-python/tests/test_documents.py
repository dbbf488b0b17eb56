"""Examples of the documentation give what stands below them; a notebook runs."""

import contextlib
import io
import pathlib
import re
import subprocess
import sys
import warnings

import pytest

HERE = pathlib.Path(__file__).parent.parent
PAGE = HERE.parent.parent / "docs" / "python.md"


def examples(text):
    """Pairs of a program and what it prints, which is `None` if nothing stands below it."""
    blocks = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", text)
    for place, (kind, program) in enumerate(blocks):
        if kind == "python":
            following = blocks[place + 1] if place + 1 < len(blocks) else ("", "")
            yield program, following[1] if following[0] == "text" else None


@pytest.mark.parametrize("page", [PAGE, HERE / "README.md"], ids=lambda page: page.name)
def test_examples(page):
    if not page.is_file():
        pytest.skip("these are not the sources of the workspace")
    pytest.importorskip("sklearn")
    names: dict = {}
    found = list(examples(page.read_text(encoding="utf-8")))
    assert found
    with warnings.catch_warnings():
        for program, expected in found:
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                exec(compile(program, str(page), "exec"), names)
            if expected is not None:
                assert shown.getvalue() == expected, program


@pytest.mark.notebook
def test_the_first_notebook(tmp_path, environment):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    words = [sys.executable, str(HERE / "notebooks" / "run.py"), "--check", "first-steps"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
