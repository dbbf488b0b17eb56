"""Data of Python's libraries on its way into memory that the models read.

Nothing is imported here but NumPy: other libraries are recognised by what they are called and do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _native

__all__ = ["Held", "hold"]

#: The modality of an array or table that is given alone.
ONLY = "x"


class Held:
    """Data under a name that stands for a path as long as this object lives."""

    def __init__(self, source: str, native: Any, forms: dict[str, str], ids: list[str] | None):
        self.source = source
        #: For each modality ``"frame"`` if it was a table of pandas, else ``"array"``.
        self.forms = forms
        #: Identifiers of the rows of the first modality, if it has any.
        self.ids = ids
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
        of AnnData where the values of each lie: ``"X"``, ``"layers/NAME"``, ``"obsm/NAME"``,
        ``"obs"`` or ``"raw"``.
    """
    if isinstance(data, (str, os.PathLike)):
        if labels is not None or modalities is not None:
            raise TypeError("of a path neither labels nor modalities are given: the files say them")
        return Held(os.fspath(data), None, {}, None)
    parts = _parts(data, modalities)
    if not parts:
        raise ValueError("data: expected at least one modality, found none")
    native = _native.Data()
    forms: dict[str, str] = {}
    first: list[str] | None = None
    for place, (name, values) in enumerate(parts.items()):
        if not isinstance(name, str):
            raise TypeError(f"names of modalities: expected text, found {name!r}")
        forms[name], ids = _add(native, name, values)
        if place == 0:
            first = ids
    if labels is not None:
        _label(native, labels)
    return Held(native.hold(), native, forms, first)


def _parts(data: Any, modalities: Mapping[str, Any] | None) -> dict[Any, Any]:
    if _is(data, "MuData"):
        _refuse(modalities, "MuData")
        return {name: _matrix_of(part, "X") for name, part in data.mod.items()}
    if _is(data, "AnnData"):
        places = modalities if modalities is not None else {ONLY: "X"}
        return {name: _matrix_of(data, place) for name, place in places.items()}
    if isinstance(data, Mapping):
        _refuse(modalities, "a mapping")
        return dict(data)
    if modalities is None:
        return {ONLY: data}
    return {name: _columns_of(data, columns) for name, columns in modalities.items()}


def _refuse(modalities: Any, what: str) -> None:
    if modalities is not None:
        raise TypeError(f"`modalities`: expected nothing beside {what}, which names them itself")


class _Matrix:
    """Values of AnnData with the names of their rows and columns."""

    def __init__(self, values: Any, columns: list[str] | None, ids: list[str]):
        self.values, self.columns, self.ids = values, columns, ids


def _matrix_of(data: Any, place: str) -> Any:
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
    if kind == "obs":
        return data.obs[[key]] if key else data.obs
    known = ["X", "raw", "obs", *(f"layers/{key}" for key in data.layers), *(f"obsm/{key}" for key in data.obsm)]
    raise ValueError(f"`{place}`: expected one of {', '.join(known)}")


def _columns_of(data: Any, columns: Any) -> Any:
    if hasattr(data, "iloc"):
        if isinstance(columns, slice):
            return data.iloc[:, columns]
        listed = list(columns)
        by_name = all(column in data.columns for column in listed)
        return data[listed] if by_name else data.iloc[:, listed]
    array = data if hasattr(data, "tocsr") else np.asarray(data)
    return array[:, columns if isinstance(columns, slice) else list(columns)]


def _is(data: Any, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(data).__mro__)


def _add(native: Any, name: str, values: Any) -> tuple[str, list[str] | None]:
    """Gives the form of the modality and the identifiers of its rows."""
    if _is(values, "AnnData"):
        values = _matrix_of(values, "X")
    columns: list[str] | None = None
    ids: list[str] | None = None
    matrix = False
    if isinstance(values, _Matrix):
        values, columns, ids, matrix = values.values, values.columns, values.ids, True
    if hasattr(values, "tocsr"):
        _add_sparse(native, name, values.tocsr(), columns, ids)
        return "array", ids
    if hasattr(values, "iloc"):
        return "frame", _add_frame(native, name, values)
    if hasattr(values, "__arrow_c_stream__"):
        native.arrow(name, values, ids=None)
        return "array", None
    _add_array(native, name, values, columns, ids, matrix)
    return "array", ids


#: Types of whole numbers that are kept as such.
_WHOLE = ("int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
_DTYPES = {
    "float16": "f16", "float32": "f32", "float64": "f64", "bool": "bool", "uint8": "u8",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip


def _add_array(
    native: Any, name: str, values: Any, columns: list[str] | None, ids: list[str] | None, matrix: bool
) -> None:
    if _is(values, "Tensor") and hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if np.ma.isMaskedArray(values):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    array = np.asarray(values)
    if array.dtype == object:
        array = _of_objects(name, array)
    kind = array.dtype.name
    if kind not in _DTYPES:
        found = "complex numbers" if array.dtype.kind == "c" else f"`{kind}`"
        raise TypeError(
            f"modality `{name}`: expected an array of numbers, found {found}; columns of words, dates "
            "and classes are given as a table"
        )
    if array.ndim == 0:
        raise ValueError(f"modality `{name}`: expected an array whose first axis is the rows, found a single number")
    dtype = _DTYPES[kind]
    if kind in _WHOLE:
        if kind == "uint64" and array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"modality `{name}`: expected whole numbers below 2**63, found {int(array.max())}")
        array = array.astype(np.int64)
    elif kind == "float16":
        array = array.astype(np.float32)
    elif kind == "bool":
        array = array.view(np.uint8) if array.flags.c_contiguous else array.astype(np.uint8)
    # Rows one after the other, in the byte order of this machine; this copies only what is not so.
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    native.array(name, array, dtype, columns=columns, ids=ids, matrix=matrix)


def _of_objects(name: str, array: np.ndarray) -> np.ndarray:
    """Numbers that an array holds as objects, ``None`` as NaN."""
    try:
        # Of numbers of any kind, and NaN of what is not there.
        return np.array([np.nan if cell is None else cell for cell in array.ravel()], dtype=np.float64).reshape(
            array.shape
        )
    except (TypeError, ValueError):
        bad = next(i for i, cell in enumerate(array.ravel()) if not _is_number(cell))
        place = ", ".join(str(int(i)) for i in np.unravel_index(bad, array.shape))
        raise TypeError(
            f"modality `{name}`: expected numbers, found {array.ravel()[bad]!r} at [{place}]; columns of "
            "words, dates and classes are given as a table of pandas, polars or Arrow"
        ) from None


def _is_number(cell: Any) -> bool:
    try:
        float(np.nan if cell is None else cell)
    except (TypeError, ValueError):
        return False
    return not isinstance(cell, (str, bytes))


def _add_sparse(native: Any, name: str, rows: Any, columns: list[str] | None, ids: list[str] | None) -> None:
    kind = rows.dtype.name
    if kind not in _DTYPES:
        raise TypeError(f"modality `{name}`: expected a matrix of numbers, found `{kind}`")
    if rows.ndim != 2:
        raise ValueError(f"modality `{name}`: expected a matrix of rows by features, found {rows.shape}")
    values = rows.data.astype(np.float32)
    if np.isinf(values).any():
        raise ValueError(f"modality `{name}`: expected finite values, found one that is infinite")
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


def _add_frame(native: Any, name: str, frame: Any) -> list[str] | None:
    frame = frame.to_frame() if not hasattr(frame, "columns") else frame
    if frame.shape[0] == 0:
        raise ValueError(f"modality `{name}`: expected rows, found an empty table")
    if frame.shape[1] == 0:
        raise ValueError(f"modality `{name}`: expected columns, found a table without any")
    ids = _identifiers(name, frame.index)
    columns = [(str(column), _cells(frame.iloc[:, place])) for place, column in enumerate(frame.columns)]
    native.table(name, columns, ids=ids)
    return ids


def _identifiers(name: str, index: Any) -> list[str] | None:
    """Those of an index that names rows; ``None`` of one that counts them."""
    if type(index).__name__ == "RangeIndex":
        return None
    if getattr(index, "nlevels", 1) > 1:
        raise ValueError(
            f"modality `{name}`: expected an index of one level, found {index.nlevels}; `reset_index` makes "
            "columns of the others"
        )
    if index.hasnans:
        raise ValueError(f"modality `{name}`: a row has no identifier in the index")
    return [str(row) for row in index]


def _cells(column: Any) -> dict[str, Any]:
    """A column of pandas as its kind and values."""
    missing = column.isna().to_numpy()
    some = bool(missing.any())
    dtype = column.dtype
    if type(dtype).__name__ == "CategoricalDtype":
        names = [str(name) for name in column.cat.categories]
        codes = column.cat.codes.to_numpy().astype(np.int64)
        return {"kind": "category", "values": codes, "names": names, "ordered": bool(column.cat.ordered)}
    kind = getattr(dtype, "kind", "O")
    if kind == "b":
        values = column.fillna(False).to_numpy(dtype=bool) if some else column.to_numpy(dtype=bool)
        return {"kind": "flag", "values": values, "missing": missing if some else None}
    if kind in "iu":
        filled = column.fillna(0) if some else column
        return {"kind": "integer", "values": filled.to_numpy(dtype=np.int64), "missing": missing if some else None}
    if kind == "f":
        return {"kind": "number", "values": column.to_numpy(dtype=np.float64, na_value=np.nan)}
    if kind == "M":
        plain = column.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(dtype, "tz", None) else column
        values = plain.to_numpy(dtype="datetime64[us]").astype(np.int64)
        return {"kind": "time", "values": np.where(missing, 0, values), "missing": missing if some else None}
    if kind == "m":
        return {"kind": "number", "values": (column / np.timedelta64(1, "D")).to_numpy(dtype=np.float64)}
    cells = [None if lacks else _word(cell) for cell, lacks in zip(column, missing)]
    return {"kind": "text", "values": cells}


def _word(cell: Any) -> str:
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _label(native: Any, labels: Any) -> None:
    ids: list[str] | None = None
    if hasattr(labels, "iloc"):
        if hasattr(labels, "columns"):
            if labels.shape[1] != 1:
                raise ValueError(f"labels: expected one column, found {labels.shape[1]}")
            labels = labels.iloc[:, 0]
        ids = _identifiers("labels", labels.index)
        missing = labels.isna().to_numpy()
        cells = [None if lacks else cell for cell, lacks in zip(labels, missing)]
    else:
        array = np.asarray(labels)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"labels: expected one for each row, found an array of shape {array.shape}")
        cells = [None if cell is None or cell != cell else cell for cell in array.tolist()]
    whole = all(cell is None or (not isinstance(cell, str) and float(cell).is_integer()) for cell in cells)
    if whole and ids is None:
        native.labels([None if cell is None else int(cell) for cell in cells])
    elif whole:
        native.named_labels(["" if cell is None else str(int(cell)) for cell in cells], ids=ids)
    else:
        native.named_labels(["" if cell is None else str(cell) for cell in cells], ids=ids)
