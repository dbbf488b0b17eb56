"""Data of Python's libraries on its way into memory that the models read.

Nothing is imported here but NumPy: other libraries are recognised by what they are called and do.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _native

__all__ = ["Form", "Held", "hold"]

#: What was found doubtful and has not been told yet.
NOTES: list[str] = []

#: The modality of an array or table that is given alone.
ONLY = "x"


class Form:
    """In what form a modality was given, so that results have it too."""

    def __init__(self, kind: str):
        #: ``"array"``, ``"frame"`` of pandas, ``"polars"`` or ``"arrow"``.
        self.kind = kind
        #: Names of columns that are not text, by their text.
        self.labels: dict[str, Any] = {}
        #: Time zones of columns of times.
        self.zones: dict[str, str] = {}
        #: Columns of classes that have an order.
        self.ordered: set[str] = set()
        #: The classes of columns of classes, by column and their text.
        self.classes: dict[str, dict[str, Any]] = {}
        #: What the cells of columns were: ``"flag"``, ``"integer"``, ``"number"`` or ``"text"``; a model may take
        #: them for classes.
        self.cells: dict[str, str] = {}


class Held:
    """Data under a name that stands for a path as long as this object lives."""

    def __init__(self, source: str, native: Any = None, forms: dict[str, Form] | None = None):
        self.source = source
        #: The form of each modality.
        self.forms = forms or {}
        #: Identifiers of the rows of the first modality, if it has any.
        self.ids: list[str] | None = None
        #: Index of the first table of pandas, whose rows the others follow.
        self.index: Any = None
        #: How many rows the largest modality has; ``None`` of a path.
        self.rows: int | None = None
        #: How many columns an array or table has that was given alone.
        self.width: int | None = None
        #: Names of the columns of a table of pandas that was given alone.
        self.names: list[str] | None = None
        self._native = native


def hold(data: Any, labels: Any = None, modalities: Mapping[str, Any] | None = None) -> Held:
    """Gives data a name.

    Parameters
    ----------
    data
        A mapping from names of modalities to arrays ``[rows, ..]``, tables, sparse matrices or
        AnnData; MuData; AnnData; one array or table; or the path or name of data as the program
        takes it. NaN is missing, and so is what a table says is.
    labels
        A class for each row: whole numbers or words, NaN or ``None`` where it is not known.
    modalities
        Of one array or table the columns of each modality, as a slice or a list of places or names;
        of AnnData and MuData where the values of each lie: ``"X"``, ``"layers/NAME"``,
        ``"obsm/NAME"``, ``"obs"`` or ``"raw"``.
    """
    if isinstance(data, (str, os.PathLike)):
        if labels is not None or modalities is not None:
            raise TypeError("of a path neither labels nor modalities are given: the files say them")
        return Held(os.fspath(data))
    parts = _parts(data, modalities)
    if not parts:
        raise ValueError("data: expected at least one modality, found none")
    for name in parts:
        if not isinstance(name, str):
            raise TypeError(f"names of modalities: expected text, found {name!r}")
    native = _native.Data()
    held = Held("", native)
    by_index = _index_names_rows([*parts.values(), labels])
    identified: list[list[str]] = []
    for place, (name, values) in enumerate(parts.items()):
        form, ids, rows = _add(native, name, values, by_index)
        held.forms[name] = form
        held.rows = max(held.rows or 0, rows)
        if ids is not None:
            identified.append(ids)
        if place == 0:
            held.ids = ids
        if held.index is None and _is_frame(values):
            held.index = values.index
    some = bool(identified)
    if list(parts) == [ONLY] and not isinstance(data, Mapping):
        alone = parts[ONLY]
        shape = alone.shape
        held.width = int(shape[1]) if len(shape) == 2 else None
        if hasattr(data, "iloc") and hasattr(data, "columns"):
            held.names = [name for name in data.columns if isinstance(name, str)]
            held.names = held.names if len(held.names) == len(data.columns) else None
    if labels is not None and _is_frame(labels) and by_index and some:
        known = set(map(str, labels.index))
        if not any(known.intersection(of) for of in identified):
            raise ValueError(
                f"labels: none of their index, of which the first is `{labels.index[0]}`, is in the index of the rows; "
                "`labels.to_numpy()` are matched by their places"
            )
    if labels is not None:
        # Identifiers of labels are of use only if the rows have some.
        _label(native, labels, by_index and some)
    held.source = native.hold()
    return held


def _parts(data: Any, modalities: Mapping[str, Any] | None) -> dict[Any, Any]:
    if _is(data, "MuData"):
        places = modalities if modalities is not None else dict.fromkeys(data.mod, "X")
        for name in places:
            if name not in data.mod:
                raise ValueError(f"`{name}`: expected one of {', '.join(data.mod)}, which the MuData has")
        return {name: _matrix_of(data.mod[name], place) for name, place in places.items()}
    if _is(data, "AnnData"):
        places = modalities if modalities is not None else {ONLY: "X"}
        return {name: _matrix_of(data, place) for name, place in places.items()}
    # Sparse matrices of one kind are mappings too.
    if isinstance(data, Mapping) and not hasattr(data, "tocsr"):
        if modalities is not None:
            raise TypeError("`modalities`: expected nothing beside a mapping, which names them itself")
        return dict(data)
    if modalities is not None:
        if not isinstance(modalities, Mapping):
            raise TypeError(f"`modalities`: expected a mapping from names to columns, found {modalities!r}")
        return {name: _columns_of(name, data, columns) for name, columns in modalities.items()}
    if not _is_table(data):
        data = _as_array(ONLY, data)
        if data.ndim == 1:
            raise ValueError(
                f"data: expected an array of rows by features, found one axis of {len(data)}. Reshape your data: "
                "`array.reshape(-1, 1)` if it is one feature, `array.reshape(1, -1)` if it is one row"
            )
    return {ONLY: data}


class _Matrix:
    """Values of AnnData with the names of their rows and columns."""

    def __init__(self, values: Any, columns: list[str] | None, ids: list[str]):
        self.values, self.columns, self.ids = values, columns, ids
        self.shape = values.shape


def _matrix_of(data: Any, place: Any) -> Any:
    if not isinstance(place, str):
        raise TypeError(f"`modalities`: expected where the values lie, as \"X\" or \"obsm/NAME\", found {place!r}")
    kind, _, key = place.partition("/")
    ids = [str(name) for name in data.obs_names]
    genes = [str(name) for name in data.var_names]
    if kind == "X" and not key:
        if data.X is None:
            raise ValueError("`X` of the AnnData is empty: say where its values lie by `modalities`")
        return _Matrix(data.X, genes, ids)
    if kind == "layers" and key in data.layers:
        return _Matrix(data.layers[key], genes, ids)
    if kind == "raw" and not key and data.raw is not None:
        return _Matrix(data.raw.X, [str(name) for name in data.raw.var_names], ids)
    if kind == "obsm" and key in data.obsm:
        values = data.obsm[key]
        columns = [str(name) for name in values.columns] if hasattr(values, "columns") else None
        plain = values.to_numpy() if hasattr(values, "to_numpy") else values
        return _Matrix(plain, columns, ids)
    if kind == "obs" and (not key or key in data.obs):
        return data.obs[[key]] if key else data.obs
    known = ["X", *(["raw"] if data.raw is not None else []), "obs"]
    known += [f"layers/{key}" for key in data.layers] + [f"obsm/{key}" for key in data.obsm]
    raise ValueError(f"`{place}`: expected one of {', '.join(known)}")


def _columns_of(name: Any, data: Any, columns: Any) -> Any:
    """Some of the columns, by their places or names."""
    table = hasattr(data, "iloc") or hasattr(data, "__arrow_c_stream__")
    plain = data if table else data.tocsr() if hasattr(data, "tocsr") else _as_array(ONLY, data)
    if len(plain.shape) < 2:
        raise ValueError(f"modality `{name}`: expected data of rows by columns, found shape {plain.shape}")
    width = plain.shape[1]
    names = list(getattr(data, "column_names", getattr(data, "columns", []))) if table else []
    if isinstance(columns, slice):
        places = list(range(width))[columns]
    else:
        places = []
        for column in [columns] if isinstance(columns, (str, int)) else list(columns):
            if column in names:
                places.append(names.index(column))
            elif isinstance(column, (int, np.integer)) and not isinstance(column, bool) and -width <= column < width:
                places.append(int(column) % width)
            else:
                raise ValueError(f"modality `{name}`: the data has no column {column!r}, it has {width} columns")
    if not places:
        raise ValueError(f"modality `{name}`: `modalities` gives it no columns of the {width} that there are")
    if hasattr(data, "iloc"):
        return data.iloc[:, places]
    if table:
        return data.select([names[place] for place in places])
    return plain[:, slice(places[0], places[-1] + 1) if places == list(range(places[0], places[-1] + 1)) else places]


def _is(data: Any, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(data).__mro__)


def _is_frame(data: Any) -> bool:
    """Whether it is a table or column of pandas."""
    return hasattr(data, "iloc") and hasattr(data, "index")


def _is_table(data: Any) -> bool:
    return hasattr(data, "iloc") or hasattr(data, "__arrow_c_stream__") or hasattr(data, "tocsr")


def _index_names_rows(parts: list[Any]) -> bool:
    """Whether indices of tables say which rows belong together: not if all only count the same rows."""
    indices = [part.index for part in parts if _is_frame(part)]
    if len(indices) == 1 and not indices[0].is_unique:
        # There is nothing that it would have to be matched with.
        return False
    counted = all(type(index).__name__ == "RangeIndex" for index in indices)
    return not (counted and all(index.equals(indices[0]) for index in indices))


def _add(native: Any, name: str, values: Any, by_index: bool) -> tuple[Form, list[str] | None, int]:
    """Gives the form of the modality, the identifiers of its rows, and how many these are."""
    if _is(values, "AnnData"):
        values = _matrix_of(values, "X")
    if hasattr(values, "iloc"):
        return _add_frame(native, name, values, by_index)
    columns: list[str] | None = None
    ids: list[str] | None = None
    matrix = False
    if isinstance(values, _Matrix):
        values, columns, ids, matrix = values.values, values.columns, values.ids, True
        # Those of a file that is open.
        values = values.to_memory() if hasattr(values, "to_memory") else values
    if hasattr(values, "tocsr"):
        rows = _add_sparse(native, name, values.tocsr(), columns, ids)
        return Form("array"), ids, rows
    if hasattr(values, "__arrow_c_stream__"):
        return _add_arrow(native, name, values)
    rows = _add_array(native, name, values, columns, ids, matrix)
    return Form("array"), ids, rows


#: Types of whole numbers that are kept as such.
_WHOLE = ("int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
_DTYPES = {
    "float16": "f16", "float32": "f32", "float64": "f64", "bool": "bool", "uint8": "u8",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip


def _add_array(
    native: Any, name: str, values: Any, columns: list[str] | None, ids: list[str] | None, matrix: bool
) -> int:
    array = _as_array(name, values)
    if array.ndim == 0:
        raise ValueError(f"modality `{name}`: expected an array whose first axis is the rows, found {values!r}")
    if 0 in array.shape[1:]:
        raise ValueError(
            f"modality `{name}`: found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required of a modality"
        )
    if array.shape[0] == 0:
        raise ValueError(
            f"modality `{name}`: found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required of a modality"
        )
    if array.ndim == 1 and _are_words(array):
        native.table(name, [(name, {"kind": "text", "values": _words_of(array)})], ids=ids)
        return len(array)
    if array.dtype == object:
        array = _of_objects(name, array)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    kind = array.dtype.name
    if array.dtype.kind == "c":
        raise ValueError(f"modality `{name}`: Complex data not supported, expected real numbers")
    if kind not in _DTYPES:
        raise TypeError(
            f"modality `{name}`: expected an array of numbers, found `{array.dtype}`; columns of words, dates "
            "and classes are given as a table of pandas, polars or Arrow"
        )
    dtype = _DTYPES[kind]
    if kind in _WHOLE:
        if kind == "uint64" and int(array.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"modality `{name}`: expected whole numbers below 2**63, found {int(array.max())}")
        array = array.astype(np.int64)
    elif kind == "float16":
        array = array.astype(np.float32)
    elif kind == "bool":
        array = array.astype(np.uint8)
    # Rows one after the other, in the byte order of this machine; this copies only what is not so.
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    native.array(name, array, dtype, columns=columns, ids=ids, matrix=matrix)
    return int(array.shape[0])


def _as_array(name: str, values: Any) -> NDArray[Any]:
    if _is(values, "Tensor") and hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if np.ma.isMaskedArray(values):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"modality `{name}`: expected rows of equal length, found others ({error})") from None


def _are_words(array: NDArray[Any]) -> bool:
    if array.dtype.kind in "UT":
        return True
    some = False
    if array.dtype == object:
        for cell in array:
            if isinstance(cell, str):
                some = True
            elif not _lacks(cell):
                return False
    return some


def _words_of(array: NDArray[Any]) -> list[str | None]:
    return [None if _lacks(cell) else str(cell) for cell in array.tolist()]


def _of_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Numbers that an array holds as objects, ``None`` as NaN."""
    flat = array.ravel()
    numbers_ = np.empty(flat.shape, dtype=np.float64)
    for place, cell in enumerate(flat):
        try:
            if isinstance(cell, (str, bytes)):
                raise TypeError("argument must be a number, not a string")
            numbers_[place] = np.nan if _lacks(cell) else float(cell)
        except (TypeError, ValueError) as error:
            where = ", ".join(str(int(axis)) for axis in np.unravel_index(place, array.shape))
            raise TypeError(
                f"modality `{name}`: expected numbers, found {cell!r} at [{where}] ({error}); columns of words, "
                "dates and classes are given as a table of pandas, polars or Arrow"
            ) from None
    return numbers_.reshape(array.shape)


def _lacks(cell: Any) -> bool:
    """Whether nothing is there: ``None``, NaN, NaT or the NA of pandas."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, (float, np.floating, np.datetime64, decimal.Decimal)):
        return bool(cell != cell)
    return False


def _add_sparse(native: Any, name: str, rows: Any, columns: list[str] | None, ids: list[str] | None) -> int:
    kind = rows.dtype.name
    if rows.dtype.kind == "c":
        raise ValueError(f"modality `{name}`: Complex data not supported, expected real numbers")
    if kind not in _DTYPES:
        raise TypeError(f"modality `{name}`: expected a matrix of numbers, found `{kind}`")
    if rows.ndim != 2:
        raise ValueError(f"modality `{name}`: expected a matrix of rows by features, found {rows.shape}")
    if 0 in rows.shape:
        what = "sample" if rows.shape[0] == 0 else "feature"
        raise ValueError(
            f"modality `{name}`: found array with 0 {what}(s) (shape={rows.shape}) while a minimum of 1 is required of a modality"
        )
    if not rows.has_canonical_format:
        # Values of the same place are added up; what was given is left as it is.
        rows = rows.copy()
        rows.sum_duplicates()
    values = rows.data.astype(np.float32)
    if np.isinf(values).any():
        place = int(np.argmax(np.isinf(values)))
        row = int(np.searchsorted(rows.indptr, place, side="right")) - 1
        raise ValueError(
            f"modality `{name}`: expected finite values, found {rows.data[place]} in row {row}, "
            f"column {int(rows.indices[place])}"
        )
    native.sparse(
        name,
        int(rows.shape[1]),
        rows.indptr.astype(np.int64),
        rows.indices.astype(np.int64),
        values,
        _DTYPES[kind],
        columns=columns,
        ids=ids,
        matrix=True,
    )
    return int(rows.shape[0])


def _add_arrow(native: Any, name: str, table: Any) -> tuple[Form, list[str] | None, int]:
    native.arrow(name, table, ids=None)
    module = type(table).__module__.partition(".")[0]
    form = Form({"polars": "polars", "pyarrow": "arrow"}.get(module, "array"))
    if form.kind == "polars":
        form.cells = {column: _kind_of(str(kind)) for column, kind in table.schema.items()}
    elif form.kind == "arrow":
        form.cells = {field.name: _kind_of(str(field.type)) for field in table.schema}
    rows = table.shape[0] if hasattr(table, "shape") else 2
    return form, None, int(rows)


def _kind_of(name: str) -> str:
    """What cells are of whose type Polars and Arrow say this."""
    starts = {"bool": "flag", "int": "integer", "uint": "integer", "float": "number", "double": "number", "halffloat": "number", "string": "text", "large_string": "text"}  # fmt: skip
    return next((kind for start, kind in starts.items() if name.lower().startswith(start)), "other")


def _add_frame(native: Any, name: str, frame: Any, by_index: bool) -> tuple[Form, list[str] | None, int]:
    frame = frame.to_frame() if not hasattr(frame, "columns") else frame
    if frame.shape[1] == 0:
        raise ValueError(
            f"modality `{name}`: found table with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required of a modality"
        )
    if frame.shape[0] == 0:
        raise ValueError(
            f"modality `{name}`: found table with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required of a modality"
        )
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise ValueError(
            f"modality `{name}`: expected columns with one level of names, found {frame.columns.nlevels}"
        )
    ids = _identifiers(f"modality `{name}`", frame.index, by_index)
    form = Form("frame")
    columns = []
    seen = set()
    for place, label in enumerate(frame.columns):
        column = str(label)
        if column in seen:
            raise ValueError(f"modality `{name}`: column `{column}` is there twice")
        seen.add(column)
        if not isinstance(label, str):
            form.labels[column] = label
        cells = _cells(f"modality `{name}`, column `{column}`", frame.iloc[:, place])
        for part in ("values", "missing"):
            if isinstance(cells.get(part), np.ndarray):
                # A column lies across the rows of its block.
                cells[part] = np.ascontiguousarray(cells[part])
        zone = cells.pop("zone", None)
        if zone is not None:
            form.zones[column] = zone
        if cells.get("ordered"):
            form.ordered.add(column)
        form.cells[column] = cells["kind"]
        if "labels" in cells:
            form.classes[column] = cells.pop("labels")
        columns.append((column, cells))
    native.table(name, columns, ids=ids)
    return form, ids, int(frame.shape[0])


def _identifiers(where: str, index: Any, by_index: bool) -> list[str] | None:
    """Those of an index that names rows; ``None`` of one that counts them."""
    if not by_index:
        return None
    if getattr(index, "nlevels", 1) > 1:
        raise ValueError(
            f"{where}: expected an index of one level, found {index.nlevels}; `reset_index` makes "
            "columns of the others"
        )
    if index.hasnans:
        row = int(np.argmax(index.isna()))
        raise ValueError(f"{where}: row {row} has no identifier in the index")
    if not index.is_unique:
        row = int(np.argmax(index.duplicated()))
        raise ValueError(
            f"{where}: row {row} has the identifier `{index[row]}`, which a row before it has: expected an index "
            "whose entries differ, or `reset_index(drop=True)` of all tables, which matches rows by their places"
        )
    return [str(row) for row in index]


def _cells(where: str, column: Any) -> dict[str, Any]:
    """A column of pandas as its kind and values."""
    missing = column.isna().to_numpy()
    some = bool(missing.any())
    lacking = missing if some else None
    dtype = column.dtype
    if type(dtype).__name__ == "CategoricalDtype":
        names = [str(name) for name in column.cat.categories]
        codes = column.cat.codes.to_numpy().astype(np.int64)
        labels = dict(zip(names, column.cat.categories))
        ordered = bool(column.cat.ordered)
        return {"kind": "category", "values": codes, "names": names, "ordered": ordered, "labels": labels}
    kind = getattr(dtype, "kind", "O")
    if type(dtype).__name__ in ("PeriodDtype", "IntervalDtype"):
        raise TypeError(f"{where}: expected numbers, words, dates or classes, found `{dtype}`; `astype(str)` makes words")
    if kind == "c":
        raise ValueError(f"{where}: Complex data not supported, expected real numbers")
    if kind == "b":
        values = column.fillna(False).to_numpy(dtype=bool) if some else column.to_numpy(dtype=bool)
        return {"kind": "flag", "values": values, "missing": lacking}
    if kind in "iu":
        filled = column.fillna(0) if some else column
        if kind == "u" and len(filled) and int(filled.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"{where}: expected whole numbers below 2**63, found {int(filled.max())}")
        return {"kind": "integer", "values": filled.to_numpy(dtype=np.int64), "missing": lacking}
    if kind == "f":
        return {"kind": "number", "values": column.to_numpy(dtype=np.float64, na_value=np.nan)}
    if kind == "M":
        zone = getattr(dtype, "tz", None)
        plain = column.dt.tz_convert("UTC").dt.tz_localize(None) if zone else column
        values = plain.to_numpy(dtype="datetime64[us]").astype(np.int64)
        cells = {"kind": "time", "values": np.where(missing, 0, values), "missing": lacking}
        return {**cells, "zone": str(zone)} if zone else cells
    if kind == "m":
        return {"kind": "number", "values": (column / np.timedelta64(1, "D")).to_numpy(dtype=np.float64)}
    return _object_cells(where, column, missing)


#: What cells of objects can be, in the order in which they are asked.
_KINDS: list[tuple[str, Any]] = [
    ("words", str),
    ("truth values", (bool, np.bool_)),
    ("whole numbers", numbers.Integral),
    ("numbers", (numbers.Real, decimal.Decimal)),
    ("dates", (datetime.date, np.datetime64)),
]


def _object_cells(where: str, column: Any, missing: NDArray[Any]) -> dict[str, Any]:
    """The cells of a column of objects, which are to be of one kind."""
    first: dict[str, int] = {}
    for row, (cell, lacks) in enumerate(zip(column, missing)):
        if lacks:
            continue
        kind = next((kind for kind, types in _KINDS if isinstance(cell, types)), None)
        if kind is None:
            raise TypeError(
                f"{where}: expected numbers, words, dates or classes, found {type(cell).__name__} in row {row}: {cell!r}"
            )
        first.setdefault(kind, row)
    found = set(first)
    if found == {"numbers", "whole numbers"}:
        found = {"numbers"}
    if len(found) > 1:
        (one, row), (other, second) = sorted(first.items(), key=lambda entry: entry[1])[:2]
        raise TypeError(
            f"{where}: expected cells of one kind, found {one} in row {row} ({column.iloc[row]!r}) and {other} in row "
            f"{second} ({column.iloc[second]!r}); `astype(str)` makes words of all"
        )
    if found == {"numbers"}:
        values = np.array([np.nan if lacks else float(cell) for cell, lacks in zip(column, missing)])
        return {"kind": "number", "values": values}
    if found == {"whole numbers"}:
        whole = np.array([0 if lacks else int(cell) for cell, lacks in zip(column, missing)], dtype=np.int64)
        return {"kind": "integer", "values": whole, "missing": missing}
    if found == {"truth values"}:
        flags = np.array([not lacks and bool(cell) for cell, lacks in zip(column, missing)])
        return {"kind": "flag", "values": flags, "missing": missing}
    if found == {"dates"}:
        times = [np.datetime64(0, "us") if lacks else np.datetime64(_plain(cell), "us") for cell, lacks in zip(column, missing)]
        return {"kind": "time", "values": np.array(times).astype(np.int64), "missing": missing}
    words = [None if lacks else str(cell) for cell, lacks in zip(column, missing)]
    if first and all(word is None or _is_number(word) for word in words):
        NOTES.append(
            f"{where}: its words are all numbers and are read as such; `astype(\"category\")` makes them classes, "
            "`astype(float)` numbers without this warning"
        )
    return {"kind": "text", "values": words}


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _plain(cell: Any) -> Any:
    """A time in UTC if it has a zone."""
    if getattr(cell, "tzinfo", None) is not None:
        return cell.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return cell


def _label(native: Any, labels: Any, by_index: bool) -> None:
    ids: list[str] | None = None
    if hasattr(labels, "iloc"):
        if hasattr(labels, "columns"):
            if labels.shape[1] != 1:
                raise ValueError(f"labels: expected one column, found {labels.shape[1]}")
            labels = labels.iloc[:, 0]
        ids = _identifiers("labels", labels.index, by_index)
        cells = list(labels)
    else:
        if _is(labels, "Tensor") and hasattr(labels, "detach"):
            labels = labels.detach().cpu().numpy()
        array = np.asarray(labels)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"labels: expected one for each row, found an array of shape {array.shape}")
        cells = array.tolist()
    cells = [None if _lacks(cell) else cell for cell in cells]
    for row, cell in enumerate(cells):
        if isinstance(cell, (list, tuple, dict, set, complex)):
            raise TypeError(f"labels: expected whole numbers or words, found {cell!r} in row {row}")
    if all(cell is None or _is_whole(cell) for cell in cells):
        if ids is None:
            native.labels([None if cell is None else int(cell) for cell in cells])
            return
        cells = [None if cell is None else int(cell) for cell in cells]
    native.named_labels(["" if cell is None else str(cell) for cell in cells], ids=ids)


def _is_whole(cell: Any) -> bool:
    return isinstance(cell, (numbers.Real, np.bool_)) and float(cell).is_integer()
