"""Writes the tables of this folder with the libraries of the field.

    python make_tables.py

`versions.txt` has the versions that wrote them. Values are few and can be read in the program.
"""

import datetime
import decimal
import importlib.metadata
import pathlib

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
ROWS = 24


def clinic(index=None):
    """A table of every kind of column, with values missing by a mask."""
    rows = range(ROWS)
    stage = pd.Categorical(
        [["late", "early", "middle"][i % 3] if i != 4 else None for i in rows],
        categories=["early", "middle", "late"],
        ordered=True,
    )
    frame = pd.DataFrame(
        {
            "age": pd.array([40.5 + i if i % 7 != 3 else None for i in rows], dtype="Float64"),
            "count": pd.array([i * i if i % 6 != 5 else None for i in rows], dtype="Int64"),
            "flag": pd.array([i % 2 == 0 if i != 9 else None for i in rows], dtype="boolean"),
            "sex": pd.Categorical([["m", "f"][i % 2] for i in rows]),
            "stage": stage,
            "seen": pd.to_datetime(
                [f"2021-03-{i % 28 + 1:02d}" if i != 2 else None for i in rows]
            ),
            "dose": pd.array([["low", "high", "none given"][i % 3] for i in rows], dtype="string"),
        }
    )
    if index is not None:
        frame.index = index
    return frame


def parquet():
    named = pd.Index([f"p{i:02d}" for i in range(ROWS)], name="patient")
    clinic(named).to_parquet(HERE / "pandas_named_index.parquet")
    clinic(named).to_feather(HERE / "pandas_named_index.feather", compression="lz4")
    clinic().to_parquet(HERE / "pandas_default_index.parquet", compression="gzip")
    unnamed = pd.Index([f"p{i:02d}" for i in range(ROWS)])
    clinic(unnamed).to_parquet(
        HERE / "pandas_unnamed_index.parquet", compression="brotli", row_group_size=5
    )
    clinic(pd.RangeIndex(100, 100 + 2 * ROWS, 2)).to_parquet(
        HERE / "pandas_range_index.parquet", compression="lz4"
    )
    # What stands under a null is another row's number: the mask counts.
    nulls = pa.table(
        {
            "id": pa.array(["a", "b", "c"], type=pa.large_string()),
            "x": pa.array([1.0, None, 3.0]),
            "v": pa.array([[1.0, None], None, [5.0, float("nan")]], type=pa.list_(pa.float32(), 2)),
            "w": pa.array([[1, 2, 3], [4, None, 6], None], type=pa.list_(pa.int64())),
        }
    )
    pq.write_table(nulls, HERE / "pyarrow_vectors.parquet", compression="snappy")
    kinds = pa.table(
        {
            "key": pa.array([2**53 + 1, 2**53 + 2, 2**53 + 3], type=pa.int64()),
            "price": pa.array(
                [decimal.Decimal("1.25"), None, decimal.Decimal("-3.50")], type=pa.decimal128(10, 2)
            ),
            "day": pa.array(
                [datetime.date(2020, 2, 29), None, datetime.date(1969, 12, 31)], type=pa.date32()
            ),
            "time": pa.array(
                [datetime.datetime(2020, 1, 1, 6, 30), datetime.datetime(2020, 1, 2), None],
                type=pa.timestamp("us", tz="Europe/Berlin"),
            ),
            "took": pa.array([datetime.timedelta(hours=12), None, datetime.timedelta(days=2)]),
            "half": pa.array(np.array([0.5, 1.5, -2.0], dtype=np.float16)),
            "big": pa.array([1, 2, 2**64 - 1], type=pa.uint64()),
            "nested": pa.array([{"a": 1}, {"a": 2}, None]),
            "empty": pa.nulls(3),
        }
    )
    pq.write_table(kinds, HERE / "pyarrow_kinds.parquet", compression="zstd")
    # Codes of a dictionary differ from row group to row group.
    words = ["b", "a", "c", "a", "d", "b"]
    mixed = pa.table(
        {"id": [f"r{i}" for i in range(6)], "kind": pa.array(words).dictionary_encode()}
    )
    pq.write_table(mixed, HERE / "pyarrow_row_groups.parquet", row_group_size=2)


def of_polars():
    frame = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "x": [1.5, None, 3.5, float("nan")],
            "kind": pl.Series(["u", "v", None, "u"], dtype=pl.Categorical),
            "level": pl.Series(["lo", "hi", "lo", None], dtype=pl.Enum(["lo", "mid", "hi"])),
            "n": pl.Series([1, 2, None, 4], dtype=pl.UInt8),
        }
    )
    frame.write_parquet(HERE / "polars.parquet")
    frame.write_ipc(HERE / "polars.arrow", compression="zstd")
    frame.write_ipc_stream(HERE / "polars_stream.arrows")


def arrow():
    table = pa.table({"id": ["a", "b"], "x": [1.0, 2.0]})
    feather.write_feather(table, HERE / "version_1.feather", version=1)


def excel():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "patients"
    sheet["A1"] = "Export of the ward, 2021"
    sheet.merge_cells("A1:F1")
    head = ["code", "age", "seen", "flag", "score", "stage"]
    rows = [
        ["001", 30.5, datetime.datetime(2021, 3, 1), True, 1, "i"],
        ["002", None, datetime.datetime(2021, 3, 2), False, "#N/A", "ii"],
        ["010", 41, datetime.datetime(2021, 3, 3), True, 3, "i"],
        ["100", 52.25, None, None, 4, "ii"],
    ]
    for place, row in enumerate([head, *rows]):
        for column, value in enumerate(row):
            sheet.cell(3 + place, 1 + column, value)
    other = book.create_sheet("blood")
    for row in [["code", "iron"], ["001", 5], ["002", 6.5], ["010", 7], ["100", 8]]:
        other.append(row)
    book.create_sheet("empty")
    book.save(HERE / "openpyxl_two_sheets.xlsx")

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "x", "y"])
    sheet.append(["a", 1, 2])
    sheet.append(["b", 3, "#REF!"])
    sheet["C3"].data_type = "e"
    book.save(HERE / "openpyxl_error.xlsx")

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "x", "y"])
    sheet.append(["a", 1, "=B2*2"])
    sheet.append(["b", 3, "=B3*2"])
    book.save(HERE / "openpyxl_formulas_without_values.xlsx")

    import xlsxwriter

    book = xlsxwriter.Workbook(HERE / "xlsxwriter_formulas.xlsx")
    sheet = book.add_worksheet()
    when = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
    sheet.write_row(0, 0, ["id", "x", "twice", "when"])
    for row in range(3):
        sheet.write(row + 1, 0, f"s{row}")
        sheet.write(row + 1, 1, row + 0.5)
        sheet.write_formula(row + 1, 2, f"=B{row + 2}*2", None, 2 * row + 1)
        sheet.write_datetime(row + 1, 3, datetime.datetime(2022, 1, 1 + row, 6 * row), when)
    book.close()

    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "x": [1.5, None, 3.0],
            "day": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
            "flag": [True, False, True],
            "code": ["007", "008", "009"],
        }
    )
    frame.to_excel(HERE / "pandas.ods", index=False, engine="odf")
    frame.to_excel(HERE / "pandas_index.xlsx", index=True)


    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("old")
    day = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for column, title in enumerate(["id", "x", "day"]):
        sheet.write(0, column, title)
    for row in range(3):
        sheet.write(row + 1, 0, f"s{row}")
        sheet.write(row + 1, 1, row + 0.25)
        sheet.write(row + 1, 2, datetime.datetime(2001, 2, 3 + row), day)
    book.save(HERE / "xlwt.xls")


def lines():
    frame = pd.DataFrame(
        {"id": ["a", "b", "c"], "x": [1.5, None, 3.0], "note": ["u", "v", "u"], "n": [1, 2, 3]}
    )
    frame.to_json(HERE / "pandas.jsonl", orient="records", lines=True)
    pl.DataFrame({"id": ["a", "b"], "x": [1.5, None], "kind": ["u", "v"]}).write_ndjson(
        HERE / "polars.ndjson"
    )


def versions():
    names = ["numpy", "pandas", "pyarrow", "polars", "openpyxl", "xlsxwriter", "xlwt", "odfpy"]
    lines = [f"{name} {importlib.metadata.version(name)}" for name in names]
    (HERE / "versions.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for make in [parquet, of_polars, arrow, excel, lines, versions]:
        make()
