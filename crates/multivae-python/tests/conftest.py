"""Data that the tests share."""

import importlib.util
import os
import sys

import numpy as np
import pytest

if importlib.util.find_spec("multivae_rs") is None:
    # Not installed: that of the sources, into which the compiled module was put.
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "python"))

import multivae_rs as mv

PACKAGE = os.path.dirname(os.path.dirname(mv.__file__))


@pytest.fixture(scope="session")
def program():
    """The program as a command: another binary by `MULTIVAE_PROGRAM`, else that of the package."""
    other = os.environ.get("MULTIVAE_PROGRAM")
    return [other] if other else [sys.executable, "-m", "multivae_rs"]


@pytest.fixture(scope="session")
def environment():
    """Variables for other processes that import the package."""
    return {**os.environ, "PYTHONPATH": PACKAGE}


@pytest.fixture(scope="session")
def arrays():
    """Two modalities of 120 rows that have two causes in common."""
    noise = np.random.default_rng(0)
    causes = noise.normal(size=(120, 2))
    a = causes @ noise.normal(size=(2, 5)) + 0.1 * noise.normal(size=(120, 5))
    b = np.tanh(causes @ noise.normal(size=(2, 3)))
    return {"a": a.astype(np.float32), "b": b}


@pytest.fixture(scope="session")
def labels(arrays):
    """A class for each row."""
    return (arrays["a"][:, 0] > 0).astype(int)


@pytest.fixture(scope="session")
def model(arrays, labels):
    """A model that has learned for three epochs; not to be changed."""
    return mv.MVAE(latent=4, epochs=3, test=0.2).fit(arrays, labels)
