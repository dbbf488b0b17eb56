"""How training is followed, ended, interrupted and gone on with; threads, processes and memory."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import multivae_rs as mv

pytestmark = pytest.mark.filterwarnings("ignore::multivae_rs.DataWarning")


def test_the_callback_hears_every_epoch(arrays):
    heard = []
    model = mv.MVAE(latent=2, epochs=4).fit(arrays, callback=heard.append)
    assert [entry["epoch"] for entry in heard] == [1, 2, 3, 4]
    assert heard == model.history_
    assert set(heard[0]) == {"epoch", "epochs", "train", "valid", "learning_rate", "best", "seconds"}
    assert heard[0]["epochs"] == 4 and heard[0]["seconds"] > 0
    assert heard[0]["train"]["loss"] > 0


def test_the_callback_ends_the_training(arrays):
    model = mv.MVAE(latent=2, epochs=50).fit(arrays, callback=lambda epoch: epoch["epoch"] == 3)
    assert model.stopped_ and 3 <= len(model.history_) < 50
    assert model.transform(arrays).shape == (120, 2)
    # It can be gone on with.
    model.set_params(epochs=6).fit(arrays, resume=True)
    assert not model.stopped_ and [entry["epoch"] for entry in model.history_] == [1, 2, 3, 4, 5, 6]


def test_other_answers_of_the_callback_do_not(arrays):
    model = mv.MVAE(latent=2, epochs=3).fit(arrays, callback=lambda epoch: "yes")
    assert not model.stopped_ and len(model.history_) == 3


def test_an_exception_of_the_callback_is_raised(arrays):
    def callback(epoch):
        if epoch["epoch"] == 2:
            raise LookupError("from within")

    model = mv.MVAE(latent=2, epochs=50)
    with pytest.raises(LookupError, match="from within"):
        model.fit(arrays, callback=callback)
    with pytest.raises(mv.NotFittedError):
        model.transform(arrays)
    model.set_params(epochs=4).fit(arrays, resume=True)
    assert len(model.history_) == 4


def test_a_run_that_was_stopped_ends_as_one_that_was_not(arrays):
    whole = mv.MVAE(latent=2, epochs=6).fit(arrays)
    halves = mv.MVAE(latent=2, epochs=6).fit(arrays, callback=lambda epoch: epoch["epoch"] == 2)
    assert halves.stopped_
    halves.fit(arrays, resume=True)
    _same_weights(halves, whole)
    drop_seconds = [{name: value for name, value in entry.items() if name != "seconds"} for entry in halves.history_]
    assert drop_seconds == [{name: value for name, value in entry.items() if name != "seconds"} for entry in whole.history_]


def test_fit_begins_anew(arrays):
    model = mv.MVAE(latent=2, epochs=2).fit(arrays)
    first, place = model.state_dict(), model.run_dir_
    model.fit(arrays)
    assert len(model.history_) == 2 and model.run_dir_ != place and not os.path.exists(place)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, first[name])
    model.fit({"other": arrays["a"]})
    assert list(model.modalities_) == ["other"]


def test_other_data_is_not_gone_on_with(arrays):
    model = mv.MVAE(latent=2, epochs=1).fit(arrays)
    with pytest.raises(ValueError, match="has changed since the run began: values of modality `a`"):
        model.set_params(epochs=2).fit({"a": arrays["a"] + 1, "b": arrays["b"]}, resume=True)
    with pytest.raises(mv.NotFittedError, match="no run to resume"):
        mv.MVAE().fit(arrays, resume=True)


def test_a_model_that_was_loaded_is_gone_on_with(arrays, tmp_path):
    mv.MVAE(latent=2, epochs=2).fit(arrays).save(tmp_path / "run")
    model = mv.load(tmp_path / "run")
    model.set_params(epochs=4).fit(arrays, resume=True)
    _same_weights(model, mv.MVAE(latent=2, epochs=4).fit(arrays))


def test_it_is_shown_how_it_goes(arrays, capfd):
    mv.MVAE(latent=2, epochs=2, verbose=True).fit(arrays)
    shown = "".join(capfd.readouterr())
    assert "108 training" in shown and "2/2" in shown
    mv.MVAE(latent=2, epochs=2).fit(arrays)
    assert "".join(capfd.readouterr()) == ""


# Interrupts.

INTERRUPTED = """
    import os, pickle, signal, sys, threading
    import numpy as np
    import multivae_rs as mv

    data = dict(np.load(sys.argv[1]))
    model = mv.MVAE(latent=2, epochs=int(sys.argv[2]))

    def press(epoch):
        if epoch["epoch"] == 3:
            # As from the keyboard, while an epoch is at work.
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()

    try:
        model.fit(data, callback=press)
    except KeyboardInterrupt:
        print("interrupted after", len(model.history_), flush=True)
    else:
        sys.exit("it was not interrupted")
    try:
        model.transform(data)
    except mv.NotFittedError:
        print("not fitted")
    model.fit(data, resume=True)
    print("epochs", len(model.history_))
    with open(sys.argv[3], "wb") as file:
        pickle.dump(model, file)
"""


def test_an_interrupt_from_the_keyboard(environment, tmp_path):
    import pickle

    noise = np.random.default_rng(13)
    data = {"a": noise.normal(size=(1200, 30)).astype(np.float32), "b": noise.normal(size=(1200, 10)).astype(np.float32)}
    np.savez(tmp_path / "data.npz", **data)
    words = [str(tmp_path / "data.npz"), "8", str(tmp_path / "model")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), *words], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.startswith("interrupted after") and int(first.split()[-1]) < 8
    assert (second, third) == ("not fitted", "epochs 8")
    with open(tmp_path / "model", "rb") as file:
        resumed = pickle.load(file)
    _same_weights(resumed, mv.MVAE(latent=2, epochs=8).fit(data))


# Threads.


def test_a_model_is_not_fitted_twice_at_once(arrays):
    model = mv.MVAE(latent=2, epochs=3)
    met = []

    def callback(epoch):
        for use in (lambda: model.fit(arrays), lambda: model.transform(arrays)):
            try:
                use()
            except RuntimeError as error:
                met.append(str(error))

    model.fit(arrays, callback=callback)
    assert len(met) == 6
    assert "being fitted already" in met[0] and "it can be used when that has ended" in met[1]

    started = threading.Event()
    worker = threading.Thread(target=model.fit, args=(arrays,), kwargs={"callback": lambda epoch: started.set()})
    model.set_params(epochs=60)
    worker.start()
    assert started.wait(30)
    with pytest.raises(RuntimeError, match="being fitted already"):
        model.fit(arrays)
    worker.join()
    assert len(model.history_) == 60


def test_threads_use_one_model(model, arrays):
    expected = model.transform(arrays)
    drawn = model.generate(arrays, given="a", target="b", n=3)
    found, wrong = [], []

    def work():
        try:
            for _ in range(5):
                found.append(np.array_equal(model.transform(arrays), expected))
                found.append(np.array_equal(model.generate(arrays, given="a", target="b", n=3), drawn))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and found == [True] * 40


def test_models_are_fitted_in_two_threads(arrays):
    expected = [mv.MVAE(latent=2, epochs=3, seed=seed).fit(arrays).transform(arrays) for seed in (0, 1)]
    models = [mv.MVAE(latent=2, epochs=3, seed=seed) for seed in (0, 1)]
    threads = [threading.Thread(target=one.fit, args=(arrays,)) for one in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, z in zip(models, expected):
        np.testing.assert_array_equal(one.transform(arrays), z)


def test_the_lock_of_the_interpreter_is_given_up(arrays):
    counted, ended = [0], threading.Event()

    def count():
        while not ended.is_set():
            counted[0] += 1
            ended.wait(0.001)

    other = threading.Thread(target=count)
    other.start()
    mv.MVAE(latent=2, epochs=30).fit(arrays)
    ended.set()
    other.join()
    assert counted[0] > 10


# Processes.

FORKED = """
    import multiprocessing, sys
    import numpy as np
    import multivae_rs as mv

    rows = {"a": np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)}

    def work(queue):
        try:
            queue.put(("done", mv.MVAE(latent=2, epochs=1).fit(rows).transform(rows).shape))
        except Exception as error:
            queue.put((type(error).__name__, str(error)))

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    # Before anything is computed a process can be forked.
    first = context.Process(target=work, args=(queue,)); first.start(); print(queue.get(timeout=60)); first.join()
    model = mv.MVAE(latent=2, epochs=1).fit(rows)
    second = context.Process(target=work, args=(queue,)); second.start(); print(queue.get(timeout=60)); second.join()
    print(model.transform(rows).shape)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_process_that_was_forked_is_refused(environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKED)],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "('done', (40, 2))" and third == "(40, 2)"
    assert second.startswith("('RuntimeError'") and "spawn" in second


def _fit_elsewhere(arguments):
    seed, arrays = arguments
    return mv.MVAE(latent=2, epochs=1, seed=seed).fit(arrays)


def test_processes_that_are_spawned_work(arrays, environment, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"] + os.pathsep + os.path.dirname(__file__))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (model,) = pool.map(_fit_elsewhere, [(3, arrays)])
    _same_weights(model, mv.MVAE(latent=2, epochs=1, seed=3).fit(arrays))


# Memory.


def test_memory_does_not_grow(arrays):
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("there is no /proc")

    def resident():
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def once():
        rows = {name: np.repeat(values, 20, axis=0) for name, values in arrays.items()}
        model = mv.MVAE(latent=2, epochs=1, encoder=[mv.nn.Linear(16)], decoder=[mv.nn.Linear(16)]).fit(rows)
        model.impute(rows)
        return model

    places = set()
    for _ in range(8):
        places.add(once().run_dir_)
    before, handles = resident(), len(os.listdir("/proc/self/fd"))
    for _ in range(12):
        once()
    # The allocator keeps pages for a while; what leaks with every fit would be more.
    assert resident() - before < 48
    assert len(os.listdir("/proc/self/fd")) <= handles + 1
    assert not any(map(os.path.exists, places))


def _same_weights(one, other):
    mine, yours = one.state_dict(), other.state_dict()
    assert list(mine) == list(yours)
    for name, values in mine.items():
        np.testing.assert_array_equal(values, yours[name], err_msg=name)
