"""Every kind of data that goes in comes to the same, and comes back in its own form."""

import numpy as np
import pytest

import multivae_rs as mv

pytestmark = pytest.mark.filterwarnings("ignore::multivae_rs.DataWarning")


def fitted(data, **settings):
    fit = {name: settings.pop(name) for name in ("y", "modalities") if name in settings}
    return mv.MVAE(latent=3, epochs=2, **settings).fit(data, **fit)


def same(model, data, other):
    np.testing.assert_array_equal(model.transform(data), model.transform(other))


# Arrays.


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f4", ">i4", "O"])
def test_types_of_numbers(dtype):
    whole = np.random.default_rng(2).integers(0, 2 if dtype == "?" else 100, (60, 4))
    model = fitted({"a": whole.astype(dtype)})
    # The same numbers in another type are the same rows.
    np.testing.assert_allclose(model.transform({"a": whole.astype(dtype)}), model.transform({"a": whole}), atol=1e-6)
    generated = model.impute({"a": whole.astype(dtype)})["a"]
    np.testing.assert_allclose(generated, whole)


def test_results_keep_whole_numbers_and_truth_values():
    noise = np.random.default_rng(3)
    data = {"whole": noise.integers(0, 9, (50, 2)), "flag": noise.random((50, 3)) > 0.5, "image": noise.integers(0, 256, (50, 1, 4, 4), dtype=np.uint8)}  # fmt: skip
    imputed = fitted(data).impute(data)
    for name, values in data.items():
        assert imputed[name].shape == values.shape
        np.testing.assert_array_equal(imputed[name], values)
    assert imputed["image"].dtype == np.uint8


def test_orders_strides_and_views(model, arrays):
    a = arrays["a"]
    wide = np.zeros((240, 10), np.float32)
    wide[::2, ::2] = a
    read_only = a.copy()
    read_only.flags.writeable = False
    for other in (np.asfortranarray(a), wide[::2, ::2], a[::-1][::-1], read_only, a.tolist(), a.astype(">f4")):
        same(model, {"a": other}, {"a": a})


def test_masked_values_are_missing(model, arrays):
    lacking = arrays["a"].copy()
    lacking[4, 1] = np.nan
    masked = np.ma.masked_array(arrays["a"], mask=np.isnan(lacking))
    same(model, {"a": masked}, {"a": lacking})
    with_none = lacking.astype(object)
    with_none[4, 1] = None
    same(model, {"a": with_none}, {"a": lacking})


def test_one_axis_is_one_feature():
    values = np.random.default_rng(4).normal(size=60)
    model = fitted({"a": values, "b": values[:, None]})
    assert model.modalities_["a"]["shape"] == (1,)
    same(model, {"a": values}, {"a": values[:, None]})


def test_large_arrays_are_read_where_they_lie():
    """More than 64 MiB of single precision; the data is what it is, not a copy of before."""
    large = np.zeros((1 << 15, 520), np.float32)
    large[:, 0] = np.random.default_rng(5).normal(size=len(large))
    assert large.nbytes > 64 << 20
    small = {"a": np.ascontiguousarray(large[:64])}
    model = fitted(small)
    given = model.transform({"a": large})[:64]
    np.testing.assert_allclose(given, model.transform(small), atol=1e-6)


def test_tensors(model, arrays):
    torch = pytest.importorskip("torch")
    same(model, {"a": torch.tensor(arrays["a"], requires_grad=True)}, {"a": arrays["a"]})


# Rows and modalities that are missing.


def test_rows_of_nan_and_modalities_that_are_not_there(arrays):
    lacking = {"a": arrays["a"].copy(), "b": arrays["b"].copy()}
    lacking["a"][:30] = np.nan
    lacking["b"][90:] = np.nan
    model = fitted(lacking)
    z = model.transform(lacking)
    np.testing.assert_allclose(z[:30], model.transform({"b": arrays["b"][:30]}), atol=1e-5)
    np.testing.assert_allclose(z[90:], model.transform({"a": arrays["a"][90:]}), atol=1e-5)
    np.testing.assert_allclose(model.transform(arrays, given="a"), model.transform({"a": arrays["a"]}), atol=1e-5)
    imputed = model.impute(lacking)
    assert imputed.imputed["a"][:30].all() and not imputed.imputed["a"][30:].any()
    assert np.isfinite(imputed["a"]).all()
    np.testing.assert_array_equal(imputed["a"][30:], lacking["a"][30:])


def test_what_is_missing_is_told(arrays):
    lacking = {"a": arrays["a"].copy(), "b": arrays["b"]}
    lacking["a"][3] = np.nan
    with pytest.warns(mv.DataWarning, match="`a` is missing in 1 of 120 rows") as told:
        mv.MVAE(latent=2, epochs=1).fit(lacking)
    assert told[0].filename == __file__


# Tables of pandas.


@pytest.fixture(scope="module")
def clinic():
    pandas = pytest.importorskip("pandas")
    noise = np.random.default_rng(6)
    rows = 80
    start = pandas.Timestamp("2021-03-01 08:00", tz="Europe/Paris")
    return pandas.DataFrame(
        {
            "age": noise.integers(20, 90, rows),
            "weight": noise.normal(70, 9, rows),
            "visits": pandas.array([None if row % 7 == 0 else int(row % 5) for row in range(rows)], dtype="Int64"),
            "smokes": pandas.array([None if row % 9 == 0 else bool(row % 2) for row in range(rows)], dtype="boolean"),
            "sex": pandas.Categorical(noise.choice(["f", "m"], rows)),
            "stage": pandas.Categorical(noise.choice(["I", "II", "III"], rows), ["I", "II", "III"], ordered=True),
            "site": pandas.Categorical(noise.choice([3, 5, 11], rows)),
            "seen": start + pandas.to_timedelta(noise.integers(0, 700, rows), "D"),
            "born": pandas.to_datetime("1950-01-01") + pandas.to_timedelta(noise.integers(0, 9000, rows), "D"),
            "town": noise.choice(["Rome", "Oslo", None], rows),
        },
        index=pandas.Index([f"p{row}" for row in range(rows)], name="patient"),
    )


def test_a_table_comes_back_as_it_was(clinic):
    model = fitted({"clinic": clinic})
    assert model.modalities_["clinic"]["likelihood"] == "mixed"
    whole = model.impute({"clinic": clinic})["clinic"]
    assert list(whole.columns) == list(clinic.columns)
    assert whole.index.equals(clinic.index) and whole.index.name == "patient"
    assert not whole.isna().any().any()
    for column in clinic:
        there = clinic[column].notna()
        if column in ("age", "weight"):
            # Whole numbers that are modelled as measurements have fractions.
            np.testing.assert_allclose(whole[column], clinic[column], rtol=1e-5)
        elif column in ("seen", "born"):
            assert (abs(whole[column] - clinic[column]).dt.total_seconds() < 1).all()
        else:
            assert (whole[column][there].astype(str) == clinic[column][there].astype(str)).all(), column
    assert whole["smokes"].dtype == bool and whole["visits"].dtype == "int64"
    assert list(whole["site"].cat.categories) == [3, 5, 11]
    assert whole["stage"].cat.ordered and not whole["sex"].cat.ordered
    assert str(whole["seen"].dt.tz) == "Europe/Paris" and whole["born"].dt.tz is None
    sampled = model.sample(4)["clinic"]
    assert list(sampled.columns) == list(clinic.columns)
    assert set(sampled["sex"]) <= {"f", "m"}


def test_frames_and_arrays_are_the_same_rows(model, arrays):
    pandas = pytest.importorskip("pandas")
    # Columns of a frame lie across its block.
    frame = pandas.DataFrame(arrays["a"])
    same(model, {"a": frame}, {"a": arrays["a"]})
    same(model, {"a": frame.astype("float64")}, {"a": arrays["a"]})
    same(model, {"a": pandas.DataFrame({name: frame[name] for name in frame})}, {"a": arrays["a"]})


def test_numbers_as_names_of_columns_come_back_as_numbers(arrays):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(arrays["a"])
    out = fitted({"a": frame, "b": arrays["b"]}).generate({"b": arrays["b"]}, target="a")
    assert list(out.columns) == [0, 1, 2, 3, 4]
    assert list(out.index[:3]) == [0, 1, 2]


def test_columns_are_matched_by_name(arrays):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(arrays["a"], columns=list("vwxyz"))
    model = fitted({"a": frame})
    same(model, {"a": frame[list("zyxwv")]}, {"a": frame})


def test_rows_are_matched_by_index(arrays):
    pandas = pytest.importorskip("pandas")
    names = [f"p{row}" for row in range(120)]
    a = pandas.DataFrame(arrays["a"], index=names)
    b = pandas.DataFrame(arrays["b"], index=names)
    y = pandas.Series(np.arange(120) % 3, index=names)
    model = fitted({"a": a, "b": b}, y=y, test=0.2)
    shuffled = b.sample(frac=1, random_state=0)
    same(model, {"a": a, "b": shuffled}, {"a": a, "b": b})
    # Rows are those of the first modality, in its order.
    z = model.transform({"b": shuffled, "a": a})
    np.testing.assert_array_equal(z, model.transform({"b": b, "a": a})[[names.index(name) for name in shuffled.index]])
    # Some rows of one and other rows of the other.
    with pytest.warns(mv.DataWarning, match="40 rows that the first modality does not have"):
        assert model.transform({"a": a[:80], "b": b[40:]}).shape == (80, 3)
    latent = model.encode({"a": a[:80], "b": b[40:]})
    assert latent.ids == names and latent["z"].shape == (120, 3)


def test_rows_are_matched_by_whole_numbers_of_an_index(arrays):
    """An index that counts and one that does not are indices both."""
    pandas = pytest.importorskip("pandas")
    a, b = pandas.DataFrame(arrays["a"]), pandas.DataFrame(arrays["b"])
    model = fitted({"a": a, "b": b})
    same(model, {"a": a, "b": b.sample(frac=1, random_state=1)}, {"a": a, "b": b})
    part = model.impute({"a": a.iloc[50:60], "b": b.iloc[50:60]})["a"]
    assert list(part.index) == list(range(50, 60))
    assert model.encode({"a": a.iloc[:60], "b": b.iloc[30:]})["z"].shape == (120, 3)


def test_labels_follow_their_index(arrays):
    pandas = pytest.importorskip("pandas")
    names = [f"p{row}" for row in range(120)]
    frames = {name: pandas.DataFrame(values, index=names) for name, values in arrays.items()}
    y = pandas.Series(["x", "y", None] * 40, index=names, dtype="category")
    model = fitted(frames, y=y.sample(frac=1, random_state=0), test=0.3)
    by_place = fitted(frames, y=y.to_numpy(), test=0.3)
    first, second = (one.evaluate(metrics="coherence") for one in (model, by_place))
    assert [entry["value"] for entry in first] == [entry["value"] for entry in second]


def test_one_table_by_its_columns(arrays):
    pandas = pytest.importorskip("pandas")
    whole = np.concatenate([arrays["a"], arrays["b"]], axis=1)
    by_mapping = fitted(arrays)
    for modalities in ({"a": slice(0, 5), "b": slice(5, None)}, {"a": [0, 1, 2, 3, 4], "b": [5, 6, 7]}):
        model = fitted(whole.astype(np.float32), modalities=modalities)
        assert [part["shape"] for part in model.modalities_.values()] == [(5,), (3,)]
        # What was said once holds for later data.
        assert model.transform(whole.astype(np.float32)).shape == (120, 3)
    frame = pandas.DataFrame(whole, columns=list("abcdefgh"))
    model = fitted(frame, modalities={"a": list("abcde"), "b": list("fgh")})
    same(model, frame, {"a": frame[list("abcde")], "b": frame[list("fgh")]})
    assert by_mapping.transform(arrays).shape == (120, 3)


def test_cells_of_objects():
    pandas = pytest.importorskip("pandas")
    decimal = pytest.importorskip("decimal")
    import datetime

    rows = 40
    frame = pandas.DataFrame(
        {
            "price": [decimal.Decimal(row) / 4 if row % 5 else None for row in range(rows)],
            "count": pandas.Series([row % 6 if row % 5 else None for row in range(rows)], dtype=object),
            "day": [datetime.date(2020, 1, 1 + row % 28) for row in range(rows)],
            "flag": pandas.Series([bool(row % 2) if row % 3 else None for row in range(rows)], dtype=object),
        }
    )
    whole = fitted({"x": frame}).impute({"x": frame})["x"]
    np.testing.assert_allclose(whole["price"][1:5].astype(float), [0.25, 0.5, 0.75, 1.0])
    assert whole["day"].iloc[3] == pandas.Timestamp("2020-01-04")
    assert whole["flag"].notna().all()


def test_words_that_are_numbers_are_told():
    pandas = pytest.importorskip("pandas")
    noise = np.random.default_rng(14)
    digits = pandas.Series(noise.integers(0, 4, 60).astype(str))
    frame = pandas.DataFrame({"digit": digits, "size": noise.normal(size=60)})
    with pytest.warns(mv.DataWarning, match=r"modality `x`, column `digit`: its words are all numbers.*category"):
        assert mv.MVAE(latent=2, epochs=1).fit({"x": frame}).modalities_["x"]["shape"] == (2,)
    frame["digit"] = digits.astype("category")
    assert mv.MVAE(latent=2, epochs=1).fit({"x": frame}).modalities_["x"]["shape"] == (5,)


def test_columns_that_are_alone(arrays):
    """Of classes, of words that come again, and of texts."""
    pandas = pytest.importorskip("pandas")
    words = [["a cat sits", "a dog", "the fish swims here"][row % 3] for row in range(120)]
    texts = [f"{words[row]} and {row % 7} {'xyz'[row % 3]}{row % 11}" for row in range(120)]
    classes = pandas.Series(pandas.Categorical([row % 4 for row in range(120)]), name="digit")
    for index in (None, [f"p{row}" for row in range(120)]):
        frame = pandas.DataFrame({"digit": classes.array, "word": words}, index=index)
        other = pandas.DataFrame(arrays["b"], index=index)
        model = fitted({"digit": frame[["digit"]], "word": frame["word"], "b": other})
        assert [model.modalities_[name]["likelihood"] for name in ("digit", "word")] == ["mixed", "mixed"]
        whole = model.generate({"b": other}, target=["digit", "word"])
        assert set(whole["digit"]["digit"]) <= {0, 1, 2, 3} and set(whole["word"]["word"]) <= set(words)
        assert whole["digit"].index.equals(other.index)
    model = fitted({"note": texts, "b": arrays["b"]})
    assert model.modalities_["note"]["likelihood"] == "categorical" and len(model.modalities_["note"]["shape"]) == 2
    sampled = model.sample(3)["note"]
    assert len(sampled) == 3 and all(isinstance(text, str) for text in sampled)
    same(model, {"note": texts[:5]}, {"note": np.array(texts[:5])})
    assert fitted({"word": words, "b": arrays["b"]}).sample(2)["word"][0] in words


# Other tables.


def test_polars(clinic):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    noise = np.random.default_rng(7)
    table = polars.DataFrame({"age": noise.integers(20, 80, 60), "weight": noise.normal(70, 9, 60), "sex": noise.choice(["f", "m"], 60)})
    model = fitted({"clinic": table})
    same(model, {"clinic": table}, {"clinic": table.to_arrow()})
    whole = model.impute({"clinic": table})["clinic"]
    assert isinstance(whole, polars.DataFrame) and whole.columns == table.columns
    assert whole["age"].to_list() == table["age"].to_list()
    assert whole["sex"].cast(polars.String).to_list() == table["sex"].to_list()
    same(model, {"clinic": table}, {"clinic": table.to_pandas()})


def test_arrow():
    pyarrow = pytest.importorskip("pyarrow")
    noise = np.random.default_rng(8)
    words = pyarrow.array(noise.choice(["f", "m"], 60)).dictionary_encode()
    table = pyarrow.table({"age": noise.integers(20, 80, 60), "sex": words, "weight": noise.normal(size=60)})
    model = fitted({"clinic": table})
    whole = model.impute({"clinic": table})["clinic"]
    assert isinstance(whole, pyarrow.Table) and whole.column_names == table.column_names
    assert whole["age"].to_pylist() == table["age"].to_pylist()
    assert whole["sex"].to_pylist() == table["sex"].to_pylist()
    in_parts = pyarrow.concat_tables([table[:20], table[20:]])
    same(model, {"clinic": in_parts}, {"clinic": table})

    class Relation:
        """As DuckDB's, of which nothing is known but this."""

        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    same(model, {"clinic": Relation()}, {"clinic": table})


# Sparse matrices.


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array", "dok_array", "lil_array", "csr_matrix", "bsr_array"])
def test_sparse(kind):
    sparse = pytest.importorskip("scipy.sparse")
    noise = np.random.default_rng(9)
    dense = noise.poisson(0.4, (70, 12)).astype(np.float32)
    model = fitted({"rna": sparse.csr_array(dense)})
    given = getattr(sparse, kind)(dense)
    same(model, {"rna": given}, {"rna": dense})
    same(model, {"rna": given}, {"rna": sparse.csr_array(dense)})
    assert fitted(given).transform(given).shape == (70, 3)


def test_entries_of_one_place_are_added_up():
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.random.default_rng(10).poisson(1.0, (30, 6)).astype(np.float32)
    model = fitted({"rna": dense})
    rows, columns = np.indices(dense.shape)
    twice = sparse.coo_array(
        (np.tile(dense.ravel() / 2, 2), (np.tile(rows.ravel(), 2), np.tile(columns.ravel(), 2))), shape=dense.shape
    )
    before = twice.nnz
    same(model, {"rna": twice}, {"rna": dense})
    assert twice.nnz == before


# AnnData and MuData.


@pytest.fixture(scope="module")
def cells():
    anndata = pytest.importorskip("anndata")
    pandas = pytest.importorskip("pandas")
    sparse = pytest.importorskip("scipy.sparse")
    noise = np.random.default_rng(11)
    counts = noise.poisson(1.5, (60, 10)).astype(np.float32)
    data = anndata.AnnData(
        sparse.csr_matrix(counts),
        obs=pandas.DataFrame({"batch": pandas.Categorical(noise.choice(["x", "y"], 60))}, index=[f"cell{row}" for row in range(60)]),
        var=pandas.DataFrame(index=[f"gene{place}" for place in range(10)]),
    )
    data.layers["log"] = np.log1p(counts)
    data.obsm["protein"] = noise.normal(size=(60, 4))
    data.obsm["named"] = pandas.DataFrame(noise.normal(size=(60, 2)), index=data.obs_names, columns=["p", "q"])
    data.raw = data.copy()
    return data


def test_anndata(cells):
    model = fitted(cells)
    assert model.modalities_["x"]["shape"] == (10,)
    same(model, cells, {"x": cells})
    assert fitted({"rna": cells}).transform({"rna": cells}).shape == (60, 3)
    places = {"rna": "X", "log": "layers/log", "protein": "obsm/protein", "named": "obsm/named", "raw": "raw"}
    model = fitted(cells, modalities=places)
    assert list(model.modalities_) == list(places)
    latent = model.encode(cells)
    assert latent.ids == list(cells.obs_names)
    again = cells[::-1].copy()
    assert model.embed(again) is again
    np.testing.assert_allclose(again.obsm["X_multivae"], latent["z"][::-1], atol=1e-5)
    # Views and single rows.
    assert model.transform(cells[:7]).shape == (7, 3)


def test_anndata_of_a_file_that_is_open(cells, tmp_path):
    anndata = pytest.importorskip("anndata")
    plain = cells.copy()
    del plain.raw
    plain.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    model = fitted({"rna": cells})
    same(model, {"rna": backed}, {"rna": cells})


def test_mudata(cells):
    mudata = pytest.importorskip("mudata")
    anndata = pytest.importorskip("anndata")
    pandas = pytest.importorskip("pandas")
    proteins = anndata.AnnData(
        np.random.default_rng(12).normal(size=(60, 4)), obs=pandas.DataFrame(index=cells.obs_names[::-1])
    )
    rna = cells.copy()
    del rna.raw
    whole = mudata.MuData({"rna": rna, "protein": proteins[10:].copy()})
    model = fitted(whole)
    assert list(model.modalities_) == ["rna", "protein"]
    model.embed(whole, key="z")
    assert whole.obsm["z"].shape == (60, 3) and np.isfinite(whole.obsm["z"]).all()
    by_name = dict(zip(whole.obs_names, whole.obsm["z"]))
    latent = model.encode({"rna": whole.mod["rna"], "protein": whole.mod["protein"]})
    for name, value in zip(latent.ids, latent["z"]):
        np.testing.assert_allclose(by_name[name], value, atol=1e-5)
    model = fitted(whole, modalities={"rna": "layers/log", "protein": "X"})
    assert model.transform(whole).shape == (60, 3)


# Paths and names of data.


def test_paths_and_embedded_data(tmp_path, arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    model = fitted(tmp_path / "data.npz")
    same(model, str(tmp_path / "data.npz"), arrays)
    assert mv.MVAE(latent=2, epochs=1, settings={"data.rows": 200}).fit("mfeat").transform("mfeat").shape[1] == 2
