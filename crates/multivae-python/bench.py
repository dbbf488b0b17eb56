"""Import, size, training and encoding against the program and the Python library MultiVae, taking turns.

    python bench.py --program target/release/multivae --peer PYTHON_WITH_MULTIVAE

The workload is `tabular` of `cargo xtask bench`: modalities of 40, 60 and 20 values, 4096 rows, MVAE with
subsampling and beta 2.5, latent 10, batches of 64, the default perceptrons of both, no validation. Seconds
are of the call in Python and of the whole process of the program, which reads a file; on a machine with
other work only those of the processors say much. Each is the median over the rounds, with the least in
brackets.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

SIZES = {"a": 40, "b": 60, "c": 20}
EPOCHS = 20
SETTINGS = ["model.latent=10", "model.beta=2.5", "train.batch_size=64", "data.split.valid=0.0", "data.split.test=0.0"]

FIT = """
import sys, time, numpy as np, multivae_rs as mv
data = dict(np.load(sys.argv[1]))
model = mv.MVAE(latent=10, beta=2.5, epochs=int(sys.argv[3]), batch_size=64, valid=0.0, out=sys.argv[2])
began = time.perf_counter(), time.process_time()
model.fit(data)
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""
TRANSFORM = """
import sys, time, numpy as np, multivae_rs as mv
data = dict(np.load(sys.argv[1]))
model = mv.load(sys.argv[2])
began = time.perf_counter(), time.process_time()
z = model.transform(data)
print(time.perf_counter() - began[0], time.process_time() - began[1])
assert z.shape == (len(data["a"]), 10)
"""
PEER = """
import os, sys, time
os.environ.update(TQDM_DISABLE="1", OMP_NUM_THREADS="2", MKL_NUM_THREADS="2")
import logging, warnings
warnings.filterwarnings("ignore"); logging.disable(logging.CRITICAL)
import numpy as np, torch, tempfile
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MVAE, MVAEConfig
from multivae.trainers import BaseTrainer, BaseTrainerConfig
data = {name: torch.from_numpy(values) for name, values in np.load(sys.argv[1]).items()}
torch.manual_seed(0)
sizes = {name: (values.shape[1],) for name, values in data.items()}
model = MVAE(MVAEConfig(n_modalities=3, latent_dim=10, input_dims=sizes, use_subsampling=True, warmup=0, beta=2.5))
with tempfile.TemporaryDirectory() as place:
    config = BaseTrainerConfig(output_dir=place, num_epochs=int(sys.argv[2]), per_device_train_batch_size=64,
                               learning_rate=1e-3, optimizer_cls="Adam", no_cuda=True, seed=0)
    trainer = BaseTrainer(model, train_dataset=MultimodalBaseDataset(data), training_config=config)
    began = time.perf_counter(), time.process_time()
    trainer.train()
    spent = time.perf_counter() - began[0], time.process_time() - began[1]
print(*spent)
"""


def timed(words, environment=None):
    """Wall seconds as the process says or as it took, and its processor seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{words[:4]} has failed")
    return out, took, usage.ru_utime + usage.ru_stime


def megabytes(*folders):
    files = (file for folder in folders for file in pathlib.Path(folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return sum(file.stat().st_size for file in files) / 1e6


def shown(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the binary; `python -m multivae_rs` if not said")
    parser.add_argument("--peer", help="an interpreter that has MultiVae")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--json", help="file of all single values")
    given = parser.parse_args()
    program = [given.program] if given.program else [sys.executable, "-m", "multivae_rs"]
    import multivae_rs

    package = pathlib.Path(multivae_rs.__file__).parent
    own = {**os.environ, "PYTHONPATH": str(package.parent)}
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found: dict[str, list[float]] = {}

    def note(name, value):
        found.setdefault(name, []).append(value)

    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        noise = np.random.default_rng(0)
        rows = {name: noise.random((4096, size), dtype=np.float32) for name, size in SIZES.items()}
        np.savez(place / "rows.npz", **rows)
        np.savez(place / "many.npz", **{name: noise.random((100_000, size), dtype=np.float32) for name, size in SIZES.items()})
        words = [word for setting in SETTINGS for word in ("--set", setting)]
        words += ["--model", "mvae", "--epochs", given.epochs, "--seed", 0, "--data", place / "rows.npz"]
        for turn in range(given.rounds):
            # What was first is last in the next round.
            tasks = ["program", "python", *(["peer"] if given.peer else [])]
            for task in tasks[:: 1 if turn % 2 == 0 else -1]:
                if task == "program":
                    _, wall, processor = timed([*program, "train", *words, "--out", place / f"program{turn}"], own)
                elif task == "python":
                    fit = [sys.executable, "-c", FIT, place / "rows.npz", place / f"python{turn}", given.epochs]
                    wall, processor = map(float, timed(fit, own)[0].split()[-2:])
                else:
                    fit = [given.peer, "-c", PEER, place / "rows.npz", given.epochs]
                    wall, processor = map(float, timed(fit, plain)[0].split()[-2:])
                note(f"fit, {task}: wall s", wall)
                note(f"fit, {task}: processor s", processor)
            weights = [(place / f"{task}{turn}/bundle/model.safetensors").read_bytes() for task in ("program", "python")]
            assert weights[0] == weights[1], "the weights differ"
            for task in ("program", "python")[:: 1 if turn % 2 == 0 else -1]:
                if task == "program":
                    encode = ["encode", place / "program0", "--data", place / "many.npz", "--out", place / f"z{turn}.npz"]
                    _, wall, processor = timed([*program, *encode], own)
                else:
                    transform = [sys.executable, "-c", TRANSFORM, place / "many.npz", place / "program0"]
                    wall, processor = map(float, timed(transform, own)[0].split()[-2:])
                note(f"transform, {task}: wall s", wall)
                note(f"transform, {task}: processor s", processor)
            for name, python, environment in [("numpy", sys.executable, own), ("multivae_rs", sys.executable, own), ("multivae", given.peer, plain)]:
                if python:
                    _, wall, processor = timed([python, "-c", f"import {name}"], environment)
                    note(f"import {name}: wall s", wall)
                    note(f"import {name}: processor s", processor)
    print(f"{given.rounds} rounds, {given.epochs} epochs, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name, values in found.items():
        print(f"{name:<34} {shown(values)}")
    for part in ("fit", "transform"):
        for measure in ("wall s", "processor s"):
            one, other = (found[f"{part}, {task}: {measure}"] for task in ("python", "program"))
            ratio = statistics.median(one) / statistics.median(other)
            print(f"{part}, Python / program, {measure:<12} {ratio:.3f} (least {min(one) / min(other):.3f})")
    print(f"installed: multivae_rs {megabytes(package):.1f} MB, beside numpy {megabytes(pathlib.Path(np.__file__).parent):.1f} MB")
    if given.peer:
        out, _, _ = timed([given.peer, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], plain)
        print(f"installed: MultiVae with all it needs {megabytes(out.strip()):.0f} MB")
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
