"""What is computed in Python is what the program computes, to the bit."""

import filecmp
import subprocess

import numpy as np
import pytest

import multivae_rs as mv


def run(program, environment, *words):
    done = subprocess.run([*program, *map(str, words)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.filterwarnings("ignore::multivae_rs.DataWarning")
@pytest.mark.parametrize("name", ["mvae", "mopoe", "jnf"])
def test_weights_latents_and_generated_values_are_the_programs(name, program, environment, arrays, labels, tmp_path):
    data, folder = tmp_path / "data.npz", tmp_path / "run"
    with_missing = {"a": arrays["a"].copy(), "b": arrays["b"].copy()}
    if name != "jnf":
        with_missing["a"][7, 2] = np.nan
        with_missing["b"][5] = np.nan
    np.savez(data, **with_missing, labels=labels)
    words = ["--model", name, "--data", data, "--epochs", 4, "--seed", 3, "--set", "model.latent=4"]
    words += ["--set", "data.split.valid=0.1", "--set", "data.split.test=0.2", "--out", folder]
    if name == "jnf":
        words += ["--set", "model.joint_epochs=2"]
    run(program, environment, "train", *words)
    kind = {"mvae": mv.MVAE, "mopoe": mv.MoPoE, "jnf": mv.JNF}[name]
    own = {"joint_epochs": 2} if name == "jnf" else {}
    model = kind(latent=4, epochs=4, seed=3, test=0.2, **own)
    model.fit(with_missing, labels)
    assert filecmp.cmp(folder / "bundle/model.safetensors", f"{model.run_dir_}/bundle/model.safetensors", shallow=False)

    run(program, environment, "encode", folder, "--data", data, "--out", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as latent:
        np.testing.assert_array_equal(latent["z"], model.transform(arrays | with_missing))
    run(program, environment, "generate", folder, "--data", data, "--given", "a", "--target", "b", "-n", 120, "--out", tmp_path / "g.npz")
    with np.load(tmp_path / "g.npz") as generated:
        np.testing.assert_array_equal(generated["b"], model.generate({"a": with_missing["a"]}, given="a", target="b"))
    run(program, environment, "generate", folder, "--prior", "-n", 5, "--out", tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as prior:
        np.testing.assert_array_equal(prior["b"], model.sample(5)["b"])
    if name == "mvae":
        run(program, environment, "impute", folder, "--data", data, "--samples", 5, "--out", tmp_path / "i")
        imputed = model.impute(with_missing, samples=5)
        for name in ("a", "b"):
            np.testing.assert_array_equal(np.load(tmp_path / f"i/{name}.npy"), imputed[name])
            np.testing.assert_array_equal(np.load(tmp_path / f"i/{name}.std.npy"), imputed.std[name])
            np.testing.assert_array_equal(np.load(tmp_path / f"i/{name}.imputed.npy"), imputed.imputed[name])


def test_runs_go_both_ways(model, program, environment, arrays, tmp_path):
    """The program reads what Python has left, and Python what the program has left."""
    model.save(tmp_path / "run")
    np.savez(tmp_path / "new.npz", **arrays)
    run(program, environment, "encode", tmp_path / "run", "--data", tmp_path / "new.npz", "--out", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as latent:
        np.testing.assert_array_equal(latent["z"], model.transform(arrays))


def test_a_table_is_read_as_a_file_of_it(program, environment, tmp_path):
    pandas = pytest.importorskip("pandas")
    noise = np.random.default_rng(1)
    age = noise.integers(20, 80, 90)
    frame = pandas.DataFrame({"age": age, "height": 150 + age * 0.2 + noise.normal(size=90)})
    frame["sex"] = pandas.Categorical(noise.choice(["f", "m"], 90))
    frame["seen"] = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(noise.integers(0, 900, 90), "D")
    frame.index = [f"p{row}" for row in range(90)]
    gait = pandas.DataFrame({"speed": noise.normal(size=90), "step": noise.normal(size=90)}, index=frame.index[::-1])
    folder = tmp_path / "data"
    folder.mkdir()
    frame.to_csv(folder / "clinic.csv", index_label="id")
    gait.to_csv(folder / "gait.csv", index_label="id")
    run(program, environment, "train", "--model", "mvae", "--data", folder, "--epochs", 3, "--set", "model.latent=3",
        "--set", "data.split.valid=0.1", "--set", "data.split.test=0.0", "--seed", 0, "--out", tmp_path / "run")  # fmt: skip
    model = mv.MVAE(latent=3, epochs=3).fit({"clinic": frame, "gait": gait})
    run(program, environment, "encode", tmp_path / "run", "--data", folder, "--out", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as latent:
        np.testing.assert_array_equal(latent["z"], model.transform({"clinic": frame, "gait": gait}))
