"""What models give back."""

from __future__ import annotations

import html as _html
import json
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _native

if TYPE_CHECKING:
    import pandas

__all__ = ["DataWarning", "Imputed", "NotFittedError", "Report", "Rows"]


class DataWarning(UserWarning):
    """Something about data that is doubtful, with where it is and what to do about it."""


class NotFittedError(ValueError, AttributeError):
    """A model was used before it was trained."""


def warn(notes: list[str] | None = None, stacklevel: int = 3) -> None:
    """Passes on what was found."""
    for note in [*_native.take_warnings(), *(notes or [])]:
        warnings.warn(note, DataWarning, stacklevel=stacklevel)


class Rows(dict):
    """Values by modality or latent space, the rows first; :attr:`ids` names the rows.

    Of several draws these are the first axis.
    """

    def __init__(self, values: dict[str, Any], ids: list[str], columns: dict[str, list[str] | None]):
        super().__init__(values)
        #: Identifiers of the rows, their numbers as text where the data has none.
        self.ids = ids
        #: Names of the columns of each entry, where it has some.
        self.columns = columns

    def to_frame(self, name: str | None = None) -> pandas.DataFrame:
        """An entry of two axes as a table of pandas; all side by side if none is named."""
        import pandas

        names = list(self) if name is None else [name]
        frames = []
        for entry in names:
            value = self[entry]
            if isinstance(value, pandas.DataFrame):
                frames.append(value)
                continue
            if value.ndim != 2:
                raise ValueError(f"`{entry}` of shape {value.shape} is no table")
            columns = self.columns.get(entry) or [f"{entry}_{i}" for i in range(value.shape[1])]
            frames.append(pandas.DataFrame(value, index=self.ids or None, columns=columns))
        return pandas.concat(frames, axis=1) if len(frames) > 1 else frames[0]


class Imputed(Rows):
    """Rows with all their missing values imputed, by modality."""

    #: Which values were missing, by modality.
    imputed: dict[str, np.ndarray]
    #: Standard deviations of the draws of each imputed value, NaN elsewhere; empty without draws.
    std: dict[str, np.ndarray]
    #: Their 5 % quantiles.
    low: dict[str, np.ndarray]
    #: Their 95 % quantiles.
    high: dict[str, np.ndarray]


def rows(output: dict[str, Any], forms: dict[str, str]) -> Rows:
    """What was computed, originals left out."""
    values, columns = {}, {}
    for part in output["parts"]:
        if not part["original"]:
            values[part["name"]] = _formed(part, output["ids"], forms)
            columns[part["name"]] = part["columns"]
    return Rows(values, output["ids"], columns)


def imputed(output: dict[str, Any], forms: dict[str, str]) -> Imputed:
    """What was imputed, and about it."""
    about: dict[str, dict[str, np.ndarray]] = {"imputed": {}, "std": {}, "low": {}, "high": {}}
    parts = []
    for part in output["parts"]:
        name, _, kind = part["name"].rpartition(".")
        if name and kind in about and any(other["name"] == name for other in output["parts"]):
            about[kind][name] = part["values"]
        else:
            parts.append(part)
    whole = rows({"parts": parts, "ids": output["ids"]}, forms)
    result = Imputed(dict(whole), whole.ids, whole.columns)
    for kind, values in about.items():
        setattr(result, kind, values)
    return result


def _formed(part: dict[str, Any], ids: list[str], forms: dict[str, str]) -> Any:
    """A part as the modality was given: as a table of pandas, or as an array."""
    values, cells = part["values"], part["cells"]
    if forms.get(part["name"]) != "frame" or not _table(values, cells):
        return values if cells is None else _plain(cells, values)
    import pandas

    index = pandas.Index(ids) if ids and not _numbered(ids) else None
    if cells is not None:
        columns = {name: _series(cell) for name, cell in cells}
        return pandas.DataFrame(columns, index=index) if index is None else pandas.DataFrame(columns).set_axis(index)
    return pandas.DataFrame(values, index=index, columns=part["columns"])


def _table(values: Any, cells: Any) -> bool:
    return cells is not None or getattr(values, "ndim", 0) == 2


def _numbered(ids: list[str]) -> bool:
    return all(name == str(place) for place, name in enumerate(ids))


def _plain(cells: list[tuple[str, dict[str, Any]]], values: Any) -> Any:
    """The columns of a table whose columns are of several kinds, by name."""
    if len(cells) == 1 and cells[0][1]["kind"] == "text":
        return cells[0][1]["values"]
    return {name: _column(cell) for name, cell in cells}


def _column(cell: dict[str, Any]) -> Any:
    kind, values = cell["kind"], cell["values"]
    if kind == "category":
        names = cell["names"]
        return [names[place] if place >= 0 else None for place in values]
    if kind in ("integer", "flag") and cell["missing"].any():
        return [None if lacks else value for value, lacks in zip(values.tolist(), cell["missing"])]
    if kind == "day":
        return np.datetime64("1970-01-01", "us") + (values * 86_400e6).astype("timedelta64[us]")
    return values


def _series(cell: dict[str, Any]) -> Any:
    import pandas

    kind, values = cell["kind"], cell["values"]
    if kind == "category":
        return pandas.Categorical.from_codes(values, categories=pandas.Index(cell["names"]))
    if kind in ("integer", "flag") and cell["missing"].any():
        dtype = "Int64" if kind == "integer" else "boolean"
        return pandas.array([None if m else v for v, m in zip(values.tolist(), cell["missing"])], dtype=dtype)
    return _column(cell)


class Report:
    """Measures of a model, with what they say in words; shows itself in a notebook."""

    def __init__(self, measures: dict[str, Any], page: str):
        #: All that was measured, as `metrics.json` of the program has it.
        self.measures = measures
        #: The page that shows all numbers and figures, without network.
        self.html = page

    @property
    def title(self) -> str:
        """What was measured, in some words."""
        return self.measures["title"]

    @property
    def findings(self) -> list[str]:
        """What the numbers say, in sentences."""
        return [finding["text"] for finding in self.measures["findings"]]

    @property
    def absent(self) -> dict[str, str]:
        """What could not be measured, and why."""
        return {entry["name"]: entry["reason"] for entry in self.measures["absent"]}

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All numbers: report, measure, given, target, value, standard_error, count."""
        return self.measures["entries"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, measure: str) -> float:
        """A measure of the whole: of the rows, of all modalities."""
        found = [entry for entry in self.entries if entry["measure"] == measure and not entry["given"]]
        whole = [entry for entry in found if not entry["target"]] or found
        if not whole:
            known = sorted({entry["measure"] for entry in self.entries})
            raise KeyError(f"`{measure}`: expected one of {', '.join(known)}")
        return whole[0]["value"]

    def to_frame(self) -> pandas.DataFrame:
        """All numbers as a table of pandas."""
        import pandas

        frame = pandas.DataFrame(self.entries)
        frame["given"] = ["+".join(given) for given in frame["given"]]
        return frame

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page, or the measures if the name ends with `.json`."""
        text = json.dumps(self.measures, indent=2) if os.fspath(path).endswith(".json") else self.html
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def __str__(self) -> str:
        lines = [self.title, self.measures["summary"], ""]
        width = max((len(_label(entry)) for entry in self.entries), default=0)
        for entry in self.entries:
            error = entry.get("standard_error")
            lines.append(
                f"{_label(entry):<{width}}  {entry['value']:>12.4f}" + (f"  ± {error:.4f}" if error is not None else "")
            )
        lines += ["", *self.findings]
        lines += [f"{name}: {reason}" for name, reason in self.absent.items()]
        return "\n".join(lines).rstrip()

    def __repr__(self) -> str:
        return f"<Report {self.title!r}: {len(self.entries)} numbers>"

    def _repr_html_(self) -> str:
        page = _html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:640px;border:0"></iframe>'


def _label(entry: dict[str, Any]) -> str:
    parts = [entry["measure"]]
    if entry["given"]:
        parts.append("+".join(entry["given"]) + " ->")
    if entry["target"]:
        parts.append(entry["target"])
    return " ".join(parts)
