"""The conventions of scikit-learn's estimators."""

import warnings

import numpy as np
import pytest

import multivae_rs as mv

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

pytestmark = pytest.mark.filterwarnings("ignore::multivae_rs.DataWarning")

#: Models without a bound of a likelihood, and so without a score.
WITHOUT_SCORE = ["AE", "MAAE", "MWAE", "JointAAE", "DCCAE", "DCCAEY", "MMVM", "SparseMVAE", "MLD"]
#: Checks that do not hold for a class, each with the reason. CVAE and MMHVAE need two modalities, and DCCAE
#: more rows in a batch than the checks have, so that theirs cannot be run.
EXCEPTIONS = {
    name: {
        "check_fit_score_takes_y": "the score is a bound of a likelihood, which the model has not",
        "check_pipeline_consistency": "the score is a bound of a likelihood, which the model has not",
    }
    for name in WITHOUT_SCORE
}

#: Checks beyond those of `check_estimator` that do not hold.
BEYOND = {
    "check_dataframe_column_names_consistency": "columns of tables are matched by name: in another order they are the "
    "same rows, and not an error; the messages about other names are the program's",
}


#: Small networks, so that the checks take seconds.
SMALL = {"epochs": 1, "encoder": [mv.nn.Linear(8), mv.nn.ReLU()], "decoder": [mv.nn.Linear(8), mv.nn.ReLU()]}


@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit")
@pytest.mark.parametrize("name", ["MVAE", "AE"])
def test_check_estimator(name):
    """All checks of scikit-learn, but those that have a reason not to hold."""
    expected = EXCEPTIONS.get(name, {})
    model = getattr(mv, name)(**SMALL)
    results = estimator_checks.check_estimator(model, on_fail=None, on_skip=None, expected_failed_checks=expected)
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(expected)
    failed = {str(result["check_name"]): str(result["exception"]) for result in results if result["status"] == "failed"}
    assert not failed
    assert len(results) > 40


@pytest.mark.parametrize(
    "name",
    [
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_global_output_transform_pandas",
        "check_set_output_transform_polars",
        "check_global_set_output_transform_polars",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
    ],
)
def test_checks_that_scikit_learn_has_for_itself(name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this scikit-learn has no {name}")
    check("MVAE", mv.MVAE(**SMALL))


def test_columns_of_tables_are_matched_by_name():
    """The exception of `BEYOND`, as it is."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=list("abc"))
    model = mv.MVAE(latent=2, epochs=1).fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_array_equal(model.transform(frame[["c", "a", "b"]]), model.transform(frame))
    model.fit(frame.to_numpy())
    assert not hasattr(model, "feature_names_in_")


def test_scikit_learn_is_not_imported(environment):
    import subprocess
    import sys

    code = "import sys, multivae_rs as mv; print([m for m in ('sklearn', 'pandas', 'scipy', 'torch', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_its_own_error_is_raised_too():
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    for error in (NotFittedError, mv.NotFittedError):
        with pytest.raises(error):
            mv.MVAE().transform(np.zeros((3, 2)))
    with pytest.raises(NotFittedError):
        check_is_fitted(mv.MVAE())


def test_clones_have_the_settings_and_no_more(model, arrays):
    again = clone(model)
    assert again.get_params() == model.get_params()
    with pytest.raises(mv.NotFittedError):
        again.transform(arrays)
    networks = clone(mv.MVAE(encoder=[mv.nn.Linear(4)], settings={"train.warmup_steps": 5}))
    assert networks.encoder == [mv.nn.Linear(4)]


def _rows():
    noise = np.random.default_rng(1)
    y = noise.integers(0, 2, 150)
    X = noise.normal(size=(150, 8)).astype(np.float32)
    X[:, :5] += 2 * y[:, None]
    return X, y


def test_a_pipeline():
    X, y = _rows()
    whole = make_pipeline(StandardScaler(), mv.MVAE(latent=3, epochs=20, batch_size=16), LogisticRegression())
    whole.fit(X, y, mvae__modalities={"a": slice(0, 5), "b": slice(5, 8)})
    assert list(whole[1].modalities_) == ["a", "b"]
    assert whole.score(X, y) > 0.8
    assert whole.predict(X[:4]).shape == (4,)


def test_a_grid_search_over_the_score():
    X, y = _rows()
    search = GridSearchCV(mv.MVAE(**SMALL), {"latent": [1, 4], "beta": [0.5, 1.0]}, cv=2)
    search.fit(X, y, modalities={"a": slice(0, 5), "b": slice(5, 8)})
    assert set(search.best_params_) == {"latent", "beta"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert list(search.best_estimator_.modalities_) == ["a", "b"]
    in_processes = cross_val_score(mv.MVAE(**SMALL), X, cv=2, n_jobs=2)
    np.testing.assert_array_equal(in_processes, cross_val_score(mv.MVAE(**SMALL), X, cv=2))


def test_tables_of_latent_values():
    pandas = pytest.importorskip("pandas")
    X, _ = _rows()
    frame = pandas.DataFrame(X, columns=list("abcdefgh"), index=[f"p{row}" for row in range(150)])
    model = mv.MVAE(latent=2, epochs=1).set_output(transform="pandas").fit({"a": frame[list("abc")], "b": frame[list("defgh")]})
    z = model.transform({"a": frame[list("abc")]})
    assert list(z.columns) == ["z_0", "z_1"] and z.index.equals(frame.index)
    with pytest.raises(ValueError, match="expected 'default', 'pandas' or 'polars'"):
        model.set_output(transform="arrow")


def test_parameters_are_not_touched_by_fit(arrays):
    settings = {"train.warmup_steps": 5}
    encoder = {"a": [mv.nn.Linear(4)]}
    model = mv.MVAE(latent=2, epochs=1, settings=settings, encoder=encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(arrays)
    assert model.settings is settings and model.encoder is encoder and settings == {"train.warmup_steps": 5}
