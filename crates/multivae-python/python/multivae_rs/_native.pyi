"""What the compiled module has. It is not for users, whose classes stand upon it."""

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__version__: str

def models() -> list[tuple[str, str]]:
    """Names of the models, each with what it is in a line."""

def defaults(model: str) -> str:
    """All settings of a model with their defaults, as JSON."""

def commented(model: str) -> str:
    """All settings of a model with their defaults, as TOML whose comments say what they mean."""

def devices() -> list[str]:
    """Names of the devices of the backends that are built in."""

def evaluate(words: list[str]) -> tuple[str, str]:
    """What `multivae evaluate` measures, as JSON, and the page that shows it."""

def task(words: list[str]) -> None:
    """A task of the program with its arguments, whose lines are printed."""

def main(words: list[str]) -> int:
    """The program with these arguments; its exit code."""

def take_warnings() -> list[str]:
    """The warnings since they were last taken."""

def train(words: list[str], heard: Callable[[str, Any], Any]) -> tuple[str, bool]:
    """`multivae train`: the folder of the run, and whether it was stopped before its last epoch."""

@final
class Data:
    """Modalities one by one, which then have a name that stands for a path as long as this lives."""

    def __init__(self) -> None: ...
    def array(
        self,
        name: str,
        values: NDArray[Any],
        dtype: str,
        *,
        columns: list[str] | None,
        ids: list[str] | None,
        matrix: bool,
    ) -> None:
        """An array whose memory is in the order of its rows; `dtype` is the type that it had."""

    def sparse(
        self,
        name: str,
        width: int,
        starts: NDArray[np.int64],
        places: NDArray[np.int64],
        values: NDArray[np.float32],
        dtype: str,
        *,
        columns: list[str] | None,
        ids: list[str] | None,
        matrix: bool,
    ) -> None:
        """Compressed sparse rows."""

    def table(self, name: str, columns: list[tuple[str, dict[str, Any]]], *, ids: list[str] | None) -> None:
        """A table, column by column."""

    def arrow(self, name: str, table: Any, *, ids: list[str] | None) -> None:
        """A table of a library that hands its memory over, by its method `__arrow_c_stream__`."""

    def labels(self, labels: list[int | None]) -> None:
        """A class for each row."""

    def named_labels(self, words: list[str], *, ids: list[str] | None) -> None:
        """The name of a class for each row, empty for none."""

    def hold(self) -> str:
        """The name that stands for the data; nothing can be added from then on."""

@final
class Run:
    """A run, or a bundle, with its best weights. Its methods may be called from several threads."""

    @staticmethod
    def open(path: str, device: str | None) -> Run:
        """Opens a folder or an archive."""

    @staticmethod
    def of_archive(bytes: bytes, device: str | None) -> Run:
        """Of the bytes of an archive."""

    def archive(self) -> bytes:
        """The model without its run, as the bytes of an archive."""

    def export(self, path: str) -> None:
        """Writes the bundle of the model as a folder, which must be new."""

    @property
    def config(self) -> str:
        """The configuration of the run as JSON."""

    @property
    def modalities(self) -> list[tuple[str, list[int], str]]:
        """Name, shape and likelihood of each modality."""

    @property
    def parameters(self) -> int:
        """How many parameters the model has."""

    def encode(
        self,
        source: str | None,
        *,
        given: list[str] | None,
        samples: int | None,
        seed: int,
        batch_size: int,
        mask_columns: bool,
    ) -> dict[str, Any]:
        """Latent values, a part for each space."""

    def generate(
        self,
        source: str | None,
        *,
        given: list[str] | None,
        target: list[str] | None,
        samples: int | None,
        seed: int,
        batch_size: int,
        mask_columns: bool,
    ) -> dict[str, Any]:
        """Modalities from those that are given."""

    def sample(self, rows: int, *, target: list[str] | None, seed: int, batch_size: int) -> dict[str, Any]:
        """Rows of the prior."""

    def impute(
        self, source: str | None, *, samples: int | None, seed: int, batch_size: int, mask_columns: bool
    ) -> dict[str, Any]:
        """Rows with their missing values imputed."""

    def score(self, source: str | None, *, seed: int, batch_size: int, mask_columns: bool) -> str:
        """The bound of rows and its parts, as JSON."""

    def with_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> Run:
        """The same model with other weights, all of them by their names."""

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights by the names that PyTorch's libraries have for them."""
