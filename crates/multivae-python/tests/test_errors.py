"""What cannot be used is refused with the right exception, which says where it is and what was expected."""

import re

import numpy as np
import pytest

import multivae_rs as mv

pytestmark = pytest.mark.filterwarnings("ignore::multivae_rs.DataWarning")

noise = np.random.default_rng(0)
A = noise.normal(size=(60, 5)).astype(np.float32)
B = noise.normal(size=(60, 3))


def changed(values, row, column, value):
    values = np.array(values, dtype=np.float64)
    values[row, column] = value
    return values


def refused(error, *parts, **settings):
    """That `fit` of this data raises the error with all these parts in its message."""
    data, labels = settings.pop("data"), settings.pop("y", None)
    fit = {"modalities": settings.pop("modalities")} if "modalities" in settings else {}
    with pytest.raises(error) as raised:
        mv.MVAE(**{"latent": 2, "epochs": 1, **settings}).fit(data, labels, **fit)
    for part in parts:
        assert part in str(raised.value), str(raised.value)
    assert "panicked" not in str(raised.value) and "defect" not in str(raised.value)


# Arrays.


@pytest.mark.parametrize(
    ("data", "error", "parts"),
    [
        ({}, ValueError, ["at least one modality"]),
        ({1: A}, TypeError, ["names of modalities", "1"]),
        ({"": A}, ValueError, ["must not be empty"]),
        ({"a.b": A}, ValueError, ["`a.b`"]),
        ({"a/b": A}, ValueError, ["`a/b`"]),
        ({"a": None}, ValueError, ["modality `a`", "None"]),
        ({"a": np.float32(3)}, ValueError, ["modality `a`", "first axis is the rows"]),
        ({"a": A[:0]}, ValueError, ["modality `a`", "0 sample(s)", "(0, 5)"]),
        ({"a": A[:, :0]}, ValueError, ["modality `a`", "0 feature(s)", "(60, 0)"]),
        ({"a": A, "b": B[:50]}, ValueError, ["`data/a` has 60 rows", "`data/b` has 50"]),
        ({"a": changed(A, 15, 4, np.inf)}, ValueError, ["`data/a`", "row 15", "value 4", "inf"]),
        ({"a": changed(A, 3, 0, -np.inf).astype(np.float32)}, ValueError, ["`data/a`", "row 3", "value 0"]),
        ({"a": A * 1j}, ValueError, ["modality `a`", "Complex data not supported"]),
        ({"a": np.full((60, 2), 2**63, np.uint64)}, ValueError, ["modality `a`", "below 2**63"]),
        ({"a": np.array([["x", "y"]] * 60)}, TypeError, ["modality `a`", "<U1", "table"]),
        ({"a": np.array([["2020-01-01"]] * 60, "M8[D]")}, TypeError, ["modality `a`", "datetime64"]),
        ({"a": np.zeros(60, [("p", "f4")])}, TypeError, ["modality `a`", "expected an array of numbers"]),
        ({"a": [[1, 2], [3]]}, ValueError, ["modality `a`", "rows of equal length"]),
        ({"a": [[1, "x"]] * 60}, TypeError, ["modality `a`"]),
        ({"a": np.array([[1, {}]] * 60, dtype=object)}, TypeError, ["modality `a`", "{}", "[0, 1]"]),
        ({"a": np.full((60, 2), np.nan), "b": B}, ValueError, ["modality `a`", "no row of the training split"]),
        ({"a": changed(A, 2, slice(None), np.nan)}, ValueError, ["row `2` observes no modality"]),
        (A[0], ValueError, ["Reshape your data"]),
        ("nowhere.csv", ValueError, ["`nowhere.csv`", "`mfeat`"]),
    ],
)
def test_arrays(data, error, parts):
    refused(error, *parts, data=data)


def test_large_arrays_name_the_place_too():
    large = np.zeros((1 << 15, 520), np.float32)
    large[20000, 7] = np.inf
    refused(ValueError, "`data/a`", "row 20000", "value 7", data={"a": large})


@pytest.mark.parametrize(
    ("y", "error", "parts"),
    [
        (np.zeros(50), ValueError, ["`data/labels` has 50"]),
        (np.zeros((60, 2)), ValueError, ["labels", "(60, 2)"]),
        ([{}] * 60, TypeError, ["labels", "{}", "row 0"]),
    ],
)
def test_labels(y, error, parts):
    refused(error, *parts, data={"a": A}, y=y)
    refused(TypeError, "neither labels nor modalities", data="mfeat", y=y)


# Tables.


def test_tables():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(A, columns=list("vwxyz"), index=[f"p{row}" for row in range(60)])
    other = pandas.DataFrame(B, columns=list("klm"), index=frame.index[::-1])
    infinite = frame.copy()
    infinite.iloc[54, 0] = np.inf
    in_time = pandas.DataFrame({"t": pandas.period_range("2020", periods=60, freq="D")})
    two_levels = pandas.MultiIndex.from_product([range(6), range(10)])
    cases = [
        (frame.iloc[:0], ValueError, ["modality `a`", "0 sample(s)"]),
        (frame[[]], ValueError, ["modality `a`", "0 feature(s)"]),
        (infinite, ValueError, ["`data/a`", "row 54", "column `v`", "inf"]),
        (frame.set_axis(["p0", "p1", "p0", *frame.index[3:]]), ValueError, ["modality `a`", "row 2", "`p0`", "reset_index"]),
        (frame.set_axis([None, *frame.index[1:]]), ValueError, ["modality `a`", "row 0", "no identifier"]),
        (frame.set_axis(two_levels), ValueError, ["modality `a`", "one level, found 2"]),
        (frame.set_axis(list("vvxyz"), axis=1), ValueError, ["modality `a`", "column `v` is there twice"]),
        (frame.set_axis([f"q{row}" for row in range(60)]), ValueError, ["no identifier in common", "`q0`"]),
        (frame.assign(o=["x", 3] * 30), TypeError, ["modality `a`, column `o`", "words in row 0 ('x')", "whole numbers in row 1 (3)"]),
        (frame.assign(o=[[1]] * 60), TypeError, ["modality `a`, column `o`", "list in row 0"]),
        (frame.assign(o=1j), ValueError, ["modality `a`, column `o`", "Complex data not supported"]),
        (in_time.set_axis(frame.index), TypeError, ["modality `a`, column `t`", "period[D]"]),
    ]
    for table, error, parts in cases:
        refused(error, *parts, data={"a": table, "b": other})
    y = pandas.Series(range(60), index=[f"q{row}" for row in range(60)])
    refused(ValueError, "labels", "`q0`", "to_numpy", data={"a": frame}, y=y)
    # Of one table alone nothing has to be matched.
    assert mv.MVAE(latent=2, epochs=1).fit(frame.set_axis(["p"] * 60)).transform(frame).shape == (60, 2)


def test_columns_of_new_tables():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(A, columns=list("vwxyz"))
    model = mv.MVAE(latent=2, epochs=1).fit({"a": frame, "b": B})
    with pytest.raises(ValueError, match="modality `a`.*lacks the columns `x`, `y`, `z`"):
        model.transform({"a": frame[["v", "w"]]})
    assert model.transform({"a": frame[["v", "w"]]}, missing_columns="mask").shape == (60, 2)
    with pytest.raises(ValueError, match="modality `a`.*not trained on the columns `q`"):
        model.transform({"a": frame.assign(q=1)})
    with pytest.raises(ValueError, match="expected 'refuse' or 'mask', found 'drop'"):
        model.transform({"a": frame}, missing_columns="drop")


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.zeros((60, 4))
    dense[7, 2] = np.inf
    refused(ValueError, "modality `a`", "row 7, column 2", data={"a": sparse.csr_array(dense)})
    refused(ValueError, "modality `a`", "0 sample(s)", data={"a": sparse.csr_array((0, 4))})
    refused(ValueError, "modality `a`", "0 feature(s)", data={"a": sparse.csr_array((60, 0))})
    refused(ValueError, "Complex data not supported", data={"a": sparse.csr_array(np.eye(4) * 1j)})


def test_anndata_and_modalities():
    anndata = pytest.importorskip("anndata")
    cells = anndata.AnnData(A)
    refused(ValueError, "`layers/raw`", "X", data=cells, modalities={"a": "layers/raw"})
    refused(ValueError, "X` of the AnnData is empty", data=anndata.AnnData(obs={"x": [1.0] * 60}))
    refused(TypeError, "mapping", data={"a": A}, modalities={"a": slice(2)})
    refused(TypeError, "mapping", data=A, modalities=["a"])
    refused(ValueError, "modality `a`", "no column 9", data=A, modalities={"a": [0, 9]})
    refused(ValueError, "modality `a`", "no columns", data=A, modalities={"a": slice(9, 12)})
    with pytest.raises(TypeError, match="expected AnnData or MuData, found ndarray"):
        mv.MVAE(latent=2, epochs=1).fit(A).embed(A)


# Settings.


@pytest.mark.parametrize(
    ("settings", "error", "parts"),
    [
        ({"latent": 0}, ValueError, ["latent", "at least 1, found 0"]),
        ({"latent": "many"}, ValueError, ['"many"']),
        ({"latent": None}, TypeError, ["`model.latent`", "None"]),
        ({"epochs": 0}, ValueError, ["epochs", "at least 1"]),
        ({"epochs": -1}, ValueError, ["-1", "epochs"]),
        ({"seed": -1}, ValueError, ["-1", "seed"]),
        ({"valid": 1.5}, ValueError, ["valid", "1.5"]),
        ({"standardise": "maybe"}, ValueError, ["maybe", "auto"]),
        ({"device": "tpu"}, ValueError, ["device `tpu`", "flex"]),
        ({"settings": {"model.latnt": 3}}, ValueError, ["`latnt`", "`latent`"]),
        ({"settings": {"model.latent": object()}}, TypeError, ["`model.latent`", "object"]),
        ({"likelihoods": "poison"}, ValueError, ["poison", "poisson"]),
        ({"likelihoods": {"q": "normal"}}, ValueError, ["`likelihood`", "'q'", "a, b"]),
        ({"encoder": "mlp"}, TypeError, ["`encoder`", "'mlp'"]),
        ({"encoder": [4, 5]}, TypeError, ["`encoder`, layer 0", "4"]),
        ({"encoder": [mv.nn.Linear(4), mv.nn.Conv2d(3)]}, ValueError, ["encoder of `a`", "layer 1 (conv2d)", "[4]"]),
        ({"decoder": {"b": [mv.nn.Reshape([7])]}}, ValueError, ["decoder of `b`"]),
    ],
)
def test_settings(settings, error, parts):
    refused(error, *parts, data={"a": A, "b": B}, **settings)


def test_folders(tmp_path):
    (tmp_path / "file").write_text("")
    refused(FileExistsError, "`out`", "choose another folder", data={"a": A}, out=tmp_path)
    refused(FileExistsError, "`out`", data={"a": A}, out=str(tmp_path / "file"))
    with pytest.raises(ValueError, match="it has no run.toml"):
        mv.load(tmp_path)
    with pytest.raises(ValueError, match="nowhere"):
        mv.load(tmp_path / "nowhere")


# Models.


def test_a_model_before_it_is_fitted(tmp_path):
    model = mv.MVAE()
    uses = [
        lambda: model.transform({"a": A}),
        lambda: model.encode({"a": A}),
        lambda: model.generate({"a": A}),
        lambda: model.sample(3),
        lambda: model.impute({"a": A}),
        lambda: model.score({"a": A}),
        lambda: model.evaluate({"a": A}),
        lambda: model.save(tmp_path / "run"),
        lambda: model.export(tmp_path / "run"),
        lambda: model.state_dict(),
        lambda: model.load_state_dict({}),
        lambda: model.get_feature_names_out(),
        lambda: model.run_dir_,
    ]
    for use in uses:
        with pytest.raises(mv.NotFittedError, match="this MVAE is not fitted yet: call `fit`"):
            use()
    assert not hasattr(model, "modalities_") and not (tmp_path / "run").exists()


def test_other_rows_than_those_of_the_training(model):
    cases = [
        (lambda: model.transform({"c": A}), ValueError, "no modality `c`; it has `a`, `b`"),
        (lambda: model.transform({"a": A[:, :3]}), ValueError, "modality `a` .*expected [5].*found [3]"),
        (lambda: model.transform({"a": A}, given="zz"), ValueError, "unknown modality `zz`; there are `a`, `b`"),
        (lambda: model.generate({"a": A}, target="zz"), ValueError, "unknown modality `zz`"),
        (lambda: model.generate({"a": A}, given="b"), ValueError, "observe all of `b`, which is given"),
        (lambda: model.transform({"a": np.full((2, 5), np.nan)}), ValueError, "row `0` observes no modality"),
    ]
    for use, error, message in cases:
        with pytest.raises(error, match=re.escape(message).replace(r"\.\*", ".*")):
            use()


@pytest.mark.parametrize("value", [0, -1])
def test_counts(model, value):
    for use in (
        lambda: model.sample(value),
        lambda: model.generate({"a": A}, n=value),
        lambda: model.encode({"a": A}, samples=value),
        lambda: model.encode({"a": A}, batch_size=value),
        lambda: model.impute({"a": A}, samples=value),
        lambda: model.evaluate({"a": A}, rows=value),
    ):
        with pytest.raises(ValueError, match="expected . or more, found"):
            use()
    with pytest.raises(TypeError, match="`n`: expected a whole number, found 2.5"):
        model.sample(2.5)
    with pytest.raises(ValueError, match="`seed`"):
        model.sample(2, seed=-1)


def test_measures(model):
    with pytest.raises(ValueError, match="expected some of all, evaluation, .*found 'foo'"):
        model.evaluate({"a": A, "b": B}, metrics="foo")
    with pytest.raises(ValueError, match="set `test` before `fit`"):
        mv.MVAE(latent=2, epochs=1).fit({"a": A}).evaluate()


def test_weights(model):
    import copy

    other = copy.deepcopy(model)
    state = other.state_dict()
    name = next(iter(state))
    with pytest.raises(ValueError, match="do not fit the model"):
        other.load_state_dict({})
    with pytest.raises(ValueError, match=re.escape(name)):
        other.load_state_dict({**state, name: state[name][:1]})
    with pytest.raises(ValueError, match="`extra` .* no place in the model"):
        other.load_state_dict({**state, "extra": state[name]})
    with pytest.raises(TypeError, match="callback"):
        mv.MVAE().fit({"a": A}, callback=3)


def test_a_run_of_a_newer_version(model, tmp_path):
    model.save(tmp_path / "run")
    place = tmp_path / "run" / "run.toml"
    text = place.read_text()
    assert text.startswith("version = 1\n")
    place.write_text(text.replace("version = 1", "version = 999", 1))
    with pytest.raises(ValueError, match="999.*newer|newer.*999"):
        mv.load(tmp_path / "run")


def test_a_bundle_that_is_broken(model, tmp_path):
    model.export(tmp_path / "bundle")
    weights = tmp_path / "bundle" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="model.safetensors"):
        mv.load(tmp_path / "bundle")


def test_what_failed_is_not_told_by_the_next(model, recwarn):
    lacking = {"a": A.copy(), "b": B}
    lacking["a"][3] = np.nan
    with pytest.raises(ValueError):
        model.generate(lacking, given="a")
    recwarn.clear()
    model.sample(2)
    assert not recwarn.list
