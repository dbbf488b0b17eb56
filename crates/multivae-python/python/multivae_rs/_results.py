"""What models give back."""

from __future__ import annotations

import html as _html
import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._data import NOTES, Form

if TYPE_CHECKING:
    import pandas

__all__ = ["DataWarning", "Imputed", "NotFittedError", "Report", "Rows"]


class DataWarning(UserWarning):
    """Something about data that is doubtful, with where it is and what to do about it."""


class NotFittedError(ValueError, AttributeError):
    """A model was used before it was trained."""


def not_fitted(message: str) -> NotFittedError:
    """The error, which is that of scikit-learn too if that is in use."""
    others = sys.modules.get("sklearn.exceptions")
    if others is None:
        return NotFittedError(message)
    both: type[NotFittedError] = type(
        "NotFittedError", (NotFittedError, others.NotFittedError), {"__module__": __name__}
    )
    return both(message)


class Told:
    """Passes on as warnings what was found about data within, also if that has failed.

    What `before` has is not told again, and what is told is put there.
    """

    def __init__(self, before: set[str] | None = None) -> None:
        self.notes: list[str] = []
        self.before = set() if before is None else before

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        held, NOTES[:] = list(NOTES), []
        for note in [*held, *_native.take_warnings(), *self.notes]:
            if note not in self.before:
                self.before.add(note)
                warnings.warn(note, DataWarning, stacklevel=_level())


def _level() -> int:
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


_PACKAGE = os.path.dirname(__file__) + os.sep


class Rows(dict[str, Any]):
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
            index = pandas.Index(self.ids) if self.ids and not _numbered(self.ids) else None
            frames.append(pandas.DataFrame(value, index=index, columns=columns))
        return pandas.concat(frames, axis=1) if len(frames) > 1 else frames[0]


class Imputed(Rows):
    """Rows with all their missing values imputed, by modality."""

    #: Which values were missing, and are imputed here, by modality.
    imputed: dict[str, NDArray[Any]]
    #: Standard deviations of the draws of each imputed value, NaN elsewhere; empty without draws.
    std: dict[str, NDArray[Any]]
    #: Their 5 % quantiles.
    low: dict[str, NDArray[Any]]
    #: Their 95 % quantiles.
    high: dict[str, NDArray[Any]]


class Shape:
    """How results are given: the form of each modality, and the index of rows."""

    def __init__(self, forms: dict[str, Form] | None = None, index: Any = None, default: str = "array"):
        self.forms, self.index, self.default = forms or {}, index, default

    def of(self, name: str) -> Form:
        """The form of a modality."""
        return self.forms.get(name) or Form(self.default)

    def index_of(self, ids: list[str]) -> Any:
        """The index of a table of pandas with these rows."""
        import pandas

        if self.index is None:
            return pandas.Index(ids) if ids and not _numbered(ids) else None
        if len(self.index) == len(ids) and (_numbered(ids) or list(map(str, self.index)) == ids):
            return self.index
        known = {str(label): label for label in self.index}
        if not all(name in known for name in ids):
            # Rows that another modality has, or that were counted.
            known = {str(place): label for place, label in enumerate(self.index)} if _counted(ids) else known
        return pandas.Index([known.get(name, name) for name in ids], name=self.index.name)


def _counted(ids: list[str]) -> bool:
    return all(name.isdecimal() for name in ids)


def rows(output: dict[str, Any], shape: Shape) -> Rows:
    """What was computed, originals left out."""
    values, columns = {}, {}
    for part in output["parts"]:
        if not part["original"]:
            values[part["name"]] = _formed(part, output["ids"], shape)
            columns[part["name"]] = part["columns"]
    return Rows(values, output["ids"], columns)


def imputed(output: dict[str, Any], shape: Shape) -> Imputed:
    """What was imputed, and about it."""
    about: dict[str, dict[str, NDArray[Any]]] = {"imputed": {}, "std": {}, "low": {}, "high": {}}
    parts = []
    for part in output["parts"]:
        name, _, kind = part["name"].rpartition(".")
        if name and kind in about and any(other["name"] == name for other in output["parts"]):
            about[kind][name] = part["values"]
        else:
            parts.append(part)
    whole = rows({"parts": parts, "ids": output["ids"]}, shape)
    result = Imputed(dict(whole), whole.ids, whole.columns)
    for kind, values in about.items():
        setattr(result, kind, values)
    return result


def _formed(part: dict[str, Any], ids: list[str], shape: Shape) -> Any:
    """A part as the modality was given: as a table, or as an array."""
    values, cells, form = part["values"], part["cells"], shape.of(part["name"])
    if cells is None and getattr(values, "ndim", 0) != 2:
        return values
    if form.kind == "array":
        return values if cells is None else _plain(cells)
    if form.kind == "frame":
        return _frame(part, form, shape.index_of(ids))
    columns = part["columns"] or [f"{part['name']}_{place}" for place in range(values.shape[1] if cells is None else 0)]
    by_name = {name: values[:, place] for place, name in enumerate(columns)} if cells is None else None
    if form.kind == "polars":
        import polars

        table = by_name if cells is None else {name: _polars(_restored(name, cell, form)) for name, cell in cells}
        return polars.DataFrame(table)
    import pyarrow

    table = by_name if cells is None else {name: _arrow(_restored(name, cell, form)) for name, cell in cells}
    return pyarrow.table(table)


def _frame(part: dict[str, Any], form: Form, index: Any) -> Any:
    import pandas

    if part["cells"] is None:
        frame = pandas.DataFrame(part["values"], index=index, columns=part["columns"])
    else:
        cells = [(name, _restored(name, cell, form)) for name, cell in part["cells"]]
        frame = pandas.DataFrame({name: _series(name, cell, form) for name, cell in cells})
        frame = frame if index is None else frame.set_axis(index)
    if form.labels:
        frame.columns = pandas.Index([form.labels.get(name, name) for name in frame.columns])
    return frame


def _numbered(ids: list[str]) -> bool:
    return all(name == str(place) for place, name in enumerate(ids))


def _plain(cells: list[tuple[str, dict[str, Any]]]) -> Any:
    """The columns of a table whose columns are of several kinds, by name."""
    if len(cells) == 1:
        return _column(cells[0][1])
    return {name: _column(cell) for name, cell in cells}


def _column(cell: dict[str, Any]) -> Any:
    kind, values = cell["kind"], cell["values"]
    if kind == "category":
        names = cell["names"]
        return [names[place] if place >= 0 else None for place in values]
    if kind in ("integer", "flag") and cell["missing"].any():
        return [None if lacks else value for value, lacks in zip(values.tolist(), cell["missing"])]
    if kind == "day":
        lacks = np.isnan(values)
        times = np.datetime64("1970-01-01", "us") + (np.where(lacks, 0, values) * 86_400e6).astype("timedelta64[us]")
        return np.where(lacks, np.datetime64("NaT", "us"), times)
    return values


def _restored(name: str, cell: dict[str, Any], form: Form) -> dict[str, Any]:
    """Classes that were numbers, truth values or words as such."""
    kind = form.cells.get(name)
    if cell["kind"] != "category" or kind not in ("flag", "integer", "number", "text"):
        return cell
    missing = cell["values"] < 0
    places = np.where(missing, 0, cell["values"])
    if kind == "text":
        words = [None if lacks else cell["names"][place] for place, lacks in zip(places, missing)]
        return {"kind": "text", "values": words}
    try:
        numbers = np.array([float(name) for name in cell["names"]])[places]
    except ValueError:
        return cell
    if kind == "number":
        return {"kind": "number", "values": np.where(missing, np.nan, numbers)}
    dtype = bool if kind == "flag" else np.int64
    return {"kind": kind, "values": numbers.astype(dtype), "missing": missing}


def _series(name: str, cell: dict[str, Any], form: Form) -> Any:
    import pandas

    kind, values = cell["kind"], cell["values"]
    if kind == "category":
        # In the order and type in which they were given.
        labels = form.classes.get(name, {})
        known = {**labels, **{word: word for word in cell["names"] if word not in labels}}
        places = np.array([*map(list(known).index, cell["names"]), -1])[values]
        return pandas.Categorical.from_codes(
            places, categories=pandas.Index(list(known.values())), ordered=name in form.ordered
        )
    if kind in ("integer", "flag") and cell["missing"].any():
        dtype = "Int64" if kind == "integer" else "boolean"
        return pandas.array([None if m else v for v, m in zip(values.tolist(), cell["missing"])], dtype=dtype)
    if kind == "day" and name in form.zones:
        return pandas.Series(_column(cell)).dt.tz_localize("UTC").dt.tz_convert(form.zones[name])
    return _column(cell)


def _polars(cell: dict[str, Any]) -> Any:
    import polars

    dtype = polars.Enum(cell["names"]) if cell["kind"] == "category" else None
    return polars.Series(values=_column(cell), dtype=dtype)


def _arrow(cell: dict[str, Any]) -> Any:
    import pyarrow

    if cell["kind"] == "category":
        places = pyarrow.array(cell["values"], mask=cell["values"] < 0)
        return pyarrow.DictionaryArray.from_arrays(places, cell["names"])
    return pyarrow.array(_column(cell))


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
        return str(self.measures["title"])

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
        return list(self.measures["entries"])

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
        return float(whole[0]["value"])

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
