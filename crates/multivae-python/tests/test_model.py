"""What a model is asked for, and how it is kept."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import multivae_rs as mv

pytestmark = pytest.mark.filterwarnings("ignore::multivae_rs.DataWarning")


def test_what_is_there_after_fit(model, arrays):
    assert model.fit.__doc__ and model.modalities_ == {
        "a": {"shape": (5,), "likelihood": "normal"},
        "b": {"shape": (3,), "likelihood": "normal"},
    }
    assert model.n_features_in_ == 8
    assert model.n_parameters_ == sum(values.size for values in model.state_dict().values())
    assert [entry["epoch"] for entry in model.history_] == [1, 2, 3]
    assert {"loss"} <= set(model.history_[0]["train"])
    assert model.stopped_ is False
    assert os.path.isfile(os.path.join(model.run_dir_, "run.toml"))


def test_latent_values(model, arrays):
    z = model.transform(arrays)
    assert z.shape == (120, 4) and z.dtype == np.float32
    latent = model.encode(arrays)
    assert list(latent) == ["z"] and latent.ids[:2] == ["0", "1"]
    np.testing.assert_array_equal(latent["z"], z)
    np.testing.assert_array_equal(model.transform(arrays, given=["a", "b"]), z)
    assert not np.array_equal(model.transform(arrays, given="a"), z)
    samples = model.encode(arrays, samples=6, seed=1)["z"]
    assert samples.shape == (6, 120, 4)
    np.testing.assert_array_equal(samples, model.encode(arrays, samples=6, seed=1)["z"])
    assert not np.array_equal(samples, model.encode(arrays, samples=6, seed=2)["z"])
    np.testing.assert_allclose(model.transform(arrays, batch_size=7), z, atol=1e-5)
    assert list(model.get_feature_names_out()) == ["z_0", "z_1", "z_2", "z_3"]
    assert model.encode(arrays).to_frame().shape == (120, 4) if _has("pandas") else True


def test_several_latent_spaces_stand_side_by_side(arrays):
    model = mv.DMVAE(latent=3, epochs=1).fit(arrays)
    latent = model.encode(arrays)
    assert len(latent) > 1
    names = [f"{space}_{place}" for space, values in latent.items() for place in range(values.shape[1])]
    assert list(model.get_feature_names_out()) == names
    np.testing.assert_array_equal(model.transform(arrays), np.concatenate(list(latent.values()), axis=1))


def test_generated_values(model, arrays):
    alone = model.generate(arrays, given="a", target="b")
    assert alone.shape == (120, 3)
    both = model.generate({"a": arrays["a"]})
    assert list(both) == ["a", "b"]
    np.testing.assert_allclose(both["b"], alone, atol=1e-5)
    draws = model.generate(arrays, given="a", target="b", n=7, seed=3)
    assert draws.shape == (7, 120, 3)
    np.testing.assert_array_equal(draws, model.generate(arrays, given="a", target="b", n=7, seed=3))
    sampled = model.sample(9, seed=1)
    assert {name: values.shape for name, values in sampled.items()} == {"a": (9, 5), "b": (9, 3)}
    assert model.sample(2, target="b").shape == (2, 3)


def test_imputed_values(model, arrays):
    lacking = {"a": arrays["a"].copy(), "b": arrays["b"]}
    lacking["a"][2, 1] = np.nan
    lacking["a"][9] = np.nan
    whole = model.impute(lacking)
    assert whole.imputed["a"].sum() == 6 and not whole.imputed["b"].any()
    np.testing.assert_array_equal(whole["a"][~whole.imputed["a"]], arrays["a"][~whole.imputed["a"]])
    assert whole.std == {}
    drawn = model.impute(lacking, samples=10)
    assert (drawn.low["a"][9] <= drawn.high["a"][9]).all() and (drawn.std["a"][9] > 0).all()
    assert np.isnan(drawn.std["a"][0]).all()
    only = model.impute({"b": arrays["b"][:4]})
    assert only["a"].shape == (4, 5) and only.imputed["a"].all()


def test_the_score_is_the_bound_in_nats(model, arrays):
    assert model.score(arrays) == model.score(arrays)
    broken = {"a": arrays["a"], "b": arrays["b"][::-1]}
    assert model.score(arrays) > model.score(broken)


def test_a_report(model, arrays, labels, tmp_path):
    report = model.evaluate(metrics="evaluation")
    assert report["elbo"] == next(entry["value"] for entry in report if entry["measure"] == "elbo")
    assert "elbo" in str(report) and "rows that training has not seen" in str(report)
    assert "<iframe" in report._repr_html_()
    with pytest.raises(KeyError, match="expected one of"):
        report["nonsense"]
    report.save(tmp_path / "report.html")
    report.save(tmp_path / "report.json")
    assert (tmp_path / "report.html").read_text().startswith("<!")
    if _has("pandas"):
        assert len(report.to_frame()) == len(report)
    given = model.evaluate(arrays, labels, metrics=["evaluation", "coherence"], rows=50)
    assert any(entry["measure"].startswith("coherence") or "coherence" in entry["report"] for entry in given)


def test_settings():
    model = mv.MVTCAE(latent=7, beta=2.0)
    assert repr(model) == "MVTCAE(beta=2.0, latent=7)"
    assert model.get_params()["latent"] == 7
    assert model.set_params(latent=3, alpha=0.9) is model and model.latent == 3
    with pytest.raises(ValueError, match="invalid parameter 'latnt' for MVTCAE: expected one of"):
        model.set_params(latnt=3)
    with pytest.raises(TypeError, match="latnt"):
        mv.MVTCAE(latnt=3)


def test_settings_reach_the_run(arrays):
    model = mv.MVAE(latent=5, beta=0.5, epochs=1, batch_size=16, learning_rate=0.01, settings={"train.warmup_steps": 5})
    model.fit(arrays)
    again = mv.load(model.run_dir_)
    assert (again.latent, again.beta, again.epochs, again.batch_size, again.learning_rate) == (5, 0.5, 1, 16, 0.01)
    with open(os.path.join(model.run_dir_, "run.toml"), encoding="utf-8") as file:
        assert "warmup_steps = 5" in file.read()


def test_networks_are_data(arrays):
    layers = [mv.nn.Linear(8), mv.nn.BatchNorm(), mv.nn.SiLU(), mv.nn.Residual([mv.nn.Linear(8), mv.nn.Tanh()])]
    model = mv.MVAE(latent=2, epochs=1, encoder={"a": layers}, decoder=mv.nn.Mlp([6], activation="silu"))
    model.fit(arrays)
    shapes = {name: values.shape for name, values in model.state_dict().items()}
    assert (8, 5) in shapes.values() and (6, 2) in shapes.values()
    assert mv.nn.Linear(3) == mv.nn.Linear(3) != mv.nn.Linear(4)
    assert repr(layers[0]) == "Linear(outputs=8, bias=True)"
    images = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)
    convolutions = [mv.nn.Conv2d(4, 3, 2, 1), mv.nn.ReLU(), mv.nn.Flatten()]
    model = mv.MVAE(latent=2, epochs=1, encoder={"image": convolutions}, decoder={"image": mv.nn.Conv([4], hidden=16)})
    assert model.fit({"image": images}).sample(2)["image"].shape == (2, 1, 8, 8)


# Keeping models.


def test_save_and_load(model, arrays, tmp_path):
    model.save(tmp_path / "run")
    again = mv.load(tmp_path / "run")
    assert type(again) is mv.MVAE and again.latent == 4 and again.modalities_ == model.modalities_
    np.testing.assert_array_equal(again.transform(arrays), model.transform(arrays))
    with pytest.raises(FileExistsError, match="choose another name"):
        model.save(tmp_path / "run")
    model.export(tmp_path / "bundle")
    np.testing.assert_array_equal(mv.load(tmp_path / "bundle").transform(arrays), model.transform(arrays))
    assert not [entry for entry in os.listdir(tmp_path) if entry.endswith(".new")]


def test_a_loaded_model_gives_tables_for_tables(model, arrays, tmp_path):
    pandas = pytest.importorskip("pandas")
    model.save(tmp_path / "run")
    frame = pandas.DataFrame(arrays["a"], index=[f"p{row}" for row in range(120)])
    out = mv.load(tmp_path / "run").generate({"a": frame}, target="b")
    assert list(out.index[:2]) == ["p0", "p1"]


def test_a_run_that_is_saved_stays_when_the_model_goes(arrays, tmp_path):
    model = mv.MVAE(latent=2, epochs=1).fit(arrays)
    place, z = model.run_dir_, model.transform(arrays)
    model.save(tmp_path / "run")
    del model
    assert not os.path.exists(place)
    np.testing.assert_array_equal(mv.load(tmp_path / "run").transform(arrays), z)


def test_pickle_and_copies(model, arrays):
    z = model.transform(arrays)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        np.testing.assert_array_equal(again.transform(arrays), z)
        assert again.get_params() == model.get_params()
        assert again.history_ == model.history_
        assert os.path.exists(again.run_dir_)
        np.testing.assert_array_equal(mv.load(again.run_dir_).transform(arrays), z)
    fresh = pickle.loads(pickle.dumps(mv.MVAE(latent=9)))
    assert fresh.latent == 9
    with pytest.raises(mv.NotFittedError):
        fresh.transform(arrays)


def test_a_pickle_opens_in_another_process(model, arrays, environment, tmp_path):
    with open(tmp_path / "model.pickle", "wb") as file:
        pickle.dump((model, arrays), file)
    code = "import pickle, sys; m, x = pickle.load(open(sys.argv[1], 'rb')); sys.stdout.buffer.write(m.transform(x).tobytes())"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.pickle")], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == model.transform(arrays).tobytes()


def test_weights_go_out_and_in(arrays):
    model, other = (mv.MVAE(latent=2, epochs=1, seed=seed).fit(arrays) for seed in (0, 1))
    z = model.transform(arrays)
    assert not np.array_equal(other.transform(arrays), z)
    assert other.load_state_dict(model.state_dict()) is other
    np.testing.assert_array_equal(other.transform(arrays), z)
    # What is kept of it has these weights.
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(other)).transform(arrays), z)
    np.testing.assert_array_equal(mv.load(other.run_dir_).transform(arrays), z)


def test_torch_state(arrays):
    torch = pytest.importorskip("torch")
    model = mv.MVAE(latent=2, epochs=1).fit(arrays)
    state = model.to_torch()
    assert all(isinstance(values, torch.Tensor) for values in state.values())
    z = model.transform(arrays)
    np.testing.assert_array_equal(model.from_torch(state).transform(arrays), z)


def test_what_the_program_has_is_there():
    listed = mv.models()
    assert len(listed) == len(mv._models.__all__) and all(listed.values())
    assert "flex" in mv.devices()
    assert mv.__version__.count(".") == 2
    done = [getattr(mv, name)._name for name in mv._models.__all__]
    assert sorted(done) == sorted(listed)


def test_the_module_is_the_program(program, environment):
    done = subprocess.run([sys.executable, "-m", "multivae_rs", "--version"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == f"multivae {mv.__version__}"
    wrong = subprocess.run([sys.executable, "-m", "multivae_rs", "trian"], env=environment, capture_output=True, text=True)
    assert wrong.returncode == 2 and "unrecognized subcommand" in wrong.stderr


@pytest.mark.parametrize("name", mv._models.__all__)
def test_every_model(name, arrays, labels, tmp_path):
    kind = getattr(mv, name)
    own = {"latent": 3} if "latent" in kind._keys else {}
    own |= {"joint_epochs": 1} if "joint_epochs" in kind._keys else {}
    model = kind(epochs=2, **own).fit(arrays, labels)
    assert len(model.history_) == 2
    rows = {"a": arrays["a"][:5], "b": arrays["b"][:5]}
    z = model.transform(rows)
    assert z.shape[0] == 5 and np.isfinite(z).all()
    model.save(tmp_path / "run")
    for again in (mv.load(tmp_path / "run"), pickle.loads(pickle.dumps(model))):
        assert type(again) is kind
        np.testing.assert_array_equal(again.transform(rows), z)


def _has(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None
