"""What images.toml trains, trained by MultiVae too, and both measured by MultiVae's evaluators.

    multivae sweep images.toml --out runs
    multivae sweep discarded.toml --out runs-discarded
    python images_multivae.py results runs,runs-discarded [JOB ..]

in the folder where images.py has written its files. A job is KIND-MODEL-SEED such as
`full-mopoe-0`. Jobs go side by side, each in a process of one thread, as many as there are
processors or as JOBS says. What stands in `results` is not done again, and runs of ours that are not finished are left out. Weights of ours are loaded
with strict=True.
"""
import json
import os
import re
import resource
import sys
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TQDM_DISABLE="1")
import logging
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from itertools import combinations

import numpy as np
import torch
from multivae import models
from multivae.data.datasets import IncompleteDataset, MultimodalBaseDataset
from multivae.metrics import (
    CoherenceEvaluator,
    CoherenceEvaluatorConfig,
    FIDEvaluator,
    FIDEvaluatorConfig,
)
from multivae.models.auto_model import AutoConfig
from multivae.models.base import ModelOutput
from multivae.models.nn.base_architectures import BaseDecoder, BaseEncoder
from multivae.trainers import BaseTrainer, BaseTrainerConfig, MultistageTrainer, MultistageTrainerConfig
from safetensors.torch import load_file
from torch import nn

torch.set_num_threads(1)
EPOCHS, BATCH = {"full": 12, "half": 12, "discarded": 96}, 64
DIMS = {"digit": (1, 28, 28), "garment": (1, 28, 28), "photo": (3, 28, 28)}
CLASSES = {
    "mopoe": ("MoPoE", dict(latent_dim=32, beta=1.0)),
    "mvtcae": ("MVTCAE", dict(latent_dim=32, alpha=0.1, beta=2.5)),
    "mmvae_plus": ("MMVAEPlus", dict(latent_dim=24, modalities_specific_dim=8, K=1)),
    "mmvae": ("MMVAE", dict(latent_dim=32, K=2)),
    "jnf": ("JNF", dict(latent_dim=32, warmup=6)),
    "mhvae": ("MHVAE", dict(latent_dim=32, n_latent=2)),
}
# Others than 1, since MultiVae draws which modality a whole batch is encoded from.
DRAWS = {"mmvae": 10, "mmvae_plus": 10}


def config(model):
    name, own = CLASSES[model]
    scales = {m: {"scale": 0.1} for m in DIMS}
    laplace = {m: "laplace" for m in DIMS}
    return getattr(models, name + "Config")(
        n_modalities=3, input_dims=dict(DIMS), decoders_dist=laplace, decoder_dist_params=scales, **own
    )


class Heads(BaseEncoder):
    """A mean and a logarithm of variances, softly bound to ±10."""

    def __init__(self, inputs, hidden, outputs=32):
        super().__init__()
        self.latent_dim = outputs
        trunk = [nn.Linear(inputs, hidden), nn.SiLU()] if hidden else []
        heads = {name: nn.Sequential(nn.Linear(hidden or inputs, outputs)) for name in ("mean", "log_var")}
        self.shared = nn.ModuleDict({"trunk": nn.Sequential(*trunk), **heads})

    def forward(self, x):
        h = self.shared["trunk"](x)
        mean, log_var = (10 * torch.tanh(self.shared[name](h) / 10) for name in ("mean", "log_var"))
        return ModelOutput(embedding=mean, log_covariance=log_var)


class First(BaseEncoder):
    """What is read of an image."""

    def __init__(self, size):
        super().__init__()
        self.add_module("0", nn.Linear(size, 256))

    def forward(self, x):
        return ModelOutput(embedding=torch.relu(getattr(self, "0")(x.flatten(1))))


class Last(BaseDecoder):
    """An image from the lowest level."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        layers = [nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, int(np.prod(shape))), nn.Sigmoid()]
        for i, layer in enumerate(layers):
            self.add_module(str(i), layer)

    def forward(self, z):
        for i in range(4):
            z = getattr(self, str(i))(z)
        return ModelOutput(reconstruction=z.reshape(-1, *self.shape))


def build(name):
    """A model with MultiVae's own networks, or MHVAE, which has none, with those of images.toml."""
    made = getattr(models, CLASSES[name][0])
    if name != "mhvae":
        return made(config(name))
    sizes = {m: int(np.prod(shape)) for m, shape in DIMS.items()}
    return made(
        config(name),
        encoders={m: First(size) for m, size in sizes.items()},
        decoders={m: Last(shape) for m, shape in DIMS.items()},
        bottom_up_blocks={m: nn.ModuleList([Heads(256, 128)]) for m in DIMS},
        top_down_blocks=[nn.Sequential(nn.Linear(32, 128), nn.SiLU())],
        posterior_blocks=[Heads(128 + 256, 128)],
        prior_blocks=[Heads(128, 0)],
    )


def tensors(file, rows=slice(None)):
    return {m: torch.from_numpy(file[m][rows]).float() / 255 for m in DIMS}


FILE = dict(np.load("images.npz"))


def part(name, kind):
    rows = FILE["part"] == name
    if kind == "discarded" and name != "test":
        rows &= FILE["mask"].all(1)
    data, labels = tensors(FILE, rows), torch.from_numpy(FILE["y"][rows]).long()
    if kind != "half" or name == "test":
        return MultimodalBaseDataset(data, labels)
    masks = {m: torch.from_numpy(FILE["mask"][rows, j]) for j, m in enumerate(DIMS)}
    for m in DIMS:
        data[m][~masks[m]] = 0
    return IncompleteDataset(data, masks, labels)


def classifier(channels):
    return nn.Sequential(
        nn.Conv2d(channels, 10, 4, 2, 1), nn.ReLU(), nn.Conv2d(10, 20, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(980, 128), nn.Dropout(), nn.ReLU(), nn.Linear(128, 10),
    )


def learn_classifiers(path):
    torch.manual_seed(0)
    file = np.load("classifiers.npz")
    data, y = tensors(file), torch.from_numpy(file["y"]).long()
    test = part("test", "full")
    weights, accuracy = {}, {}
    for m, shape in DIMS.items():
        net = classifier(shape[0])
        adam = torch.optim.Adam(net.parameters(), 2e-3)
        for _ in range(6):
            for rows in torch.randperm(len(y)).split(64):
                adam.zero_grad()
                nn.functional.cross_entropy(net(data[m][rows]), y[rows]).backward()
                adam.step()
        right = net.eval()(test.data[m]).argmax(1) == test.labels
        weights[m], accuracy[m] = net.state_dict(), right.float().mean().item()
    torch.save(weights, path)
    with open(os.path.join(os.path.dirname(path), "classifiers.json"), "w") as file:
        json.dump(accuracy, file)


def measure(model, kind, name, classifiers):
    """Coherence by MultiVae's evaluator; Fréchet distances of what is generated, by its evaluator with
    what the classifiers see before their last layer; what means over draws explain of images not
    given, and of those given where all are. By number given; means over subsets. And log p(x) of
    100 rows by importance sampling, K = 100, where MultiVae has a right one."""
    draws, test = DRAWS.get(name, 1), part("test", kind)
    sizes = [1, 3] if name == "jnf" else [1, 2, 3]  # its chains take minutes
    settings = CoherenceEvaluatorConfig(batch_size=len(test), num_classes=10)
    evaluator = CoherenceEvaluator(model, classifiers, test, eval_config=settings)
    means = {m: x.mean(0) for m, x in part("train", "full").data.items()}
    nothing = {m: ((x - means[m]) ** 2).sum() for m, x in test.data.items()}
    features = {m: net[:-1] for m, net in classifiers.items()}
    fids = FIDEvaluator(
        model, test, custom_encoders=features, eval_config=FIDEvaluatorConfig(batch_size=len(test))
    )
    coherence, explained, distance = {}, {}, {}
    for n in sizes:
        scores, shares, distances = [], [], []
        for given in combinations(DIMS, n):
            targets = [m for m in DIMS if m not in given] or list(DIMS)
            mean = dict.fromkeys(targets, 0)
            torch.manual_seed(0), np.random.seed(0)
            if n < 3:
                for m in targets:
                    distances.append(fids.compute_fid_from_conditional_generation(list(given), m))
            for draw in range(draws):
                torch.manual_seed(draw), np.random.seed(draw)
                with torch.no_grad():
                    if n < 3:
                        scores.append(float(evaluator.coherence_from_subset(list(given))[1]))
                    output = model.predict(test[:], list(given), targets)
                for m in targets:
                    mean[m] = mean[m] + output[m] / draws
            shares += [1 - (((mean[m] - test.data[m]) ** 2).sum() / nothing[m]).item() for m in targets]
        explained[str(n)] = float(np.mean(shares))
        if scores:
            coherence[str(n)] = float(np.mean(scores))
            distance[str(n)] = float(np.mean(distances))
    likelihood = None
    if name in ("mopoe", "mvtcae", "jnf"):
        torch.manual_seed(0)
        with torch.no_grad():
            likelihood = -float(model.compute_joint_nll(test[:100], 100, 100)) / 100
    return dict(coherence=coherence, explained=explained, distance=distance, likelihood=likelihood)


def train(model, kind, seed):
    several = hasattr(model, "reset_optimizer_epochs") and len(model.reset_optimizer_epochs) > 0
    trainer, settings = (
        (MultistageTrainer, MultistageTrainerConfig) if several else (BaseTrainer, BaseTrainerConfig)
    )
    learn, valid = part("train", kind), part("valid", kind)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer(
            model,
            learn,
            valid,
            settings(
                output_dir=folder, num_epochs=EPOCHS[kind], per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH, learning_rate=1e-3, optimizer_cls="Adam",
                no_cuda=True, seed=seed,
            ),
        )
        trainer.save_model = lambda *_, **__: None
        trainer.save_checkpoint = lambda *_, **__: None
        before, clock = resource.getrusage(resource.RUSAGE_SELF), time.time()
        trainer.train()
    used = resource.getrusage(resource.RUSAGE_SELF)
    work = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return trainer._best_model, dict(work=work, clock=time.time() - clock, mb=used.ru_maxrss / 1024)


def fork(task, *arguments):
    """A process of its own, so that the memory of one job is not that of another."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            task(*arguments)
            code = 0
        except Exception as error:
            print(arguments, "failed:", repr(error)[:2000], flush=True)
        finally:
            os._exit(code)
    return child


def together(tasks):
    running = set()
    for task in tasks:
        if len(running) >= int(os.environ.get("JOBS", os.cpu_count())):
            running.remove(os.wait()[0])
        running.add(fork(*task))
    while running:
        running.remove(os.wait()[0])


def write(path, result):
    with open(path + ".part", "w") as file:
        json.dump(result, file)
    os.replace(path + ".part", path)


def judges(results):
    weights = torch.load(os.path.join(results, "classifiers.pt"))
    networks = {m: classifier(shape[0]) for m, shape in DIMS.items()}
    for m in DIMS:
        networks[m].load_state_dict(weights[m])
        networks[m].eval()
    return networks


def theirs(results, kind, name, seed):
    job = f"{results}/{kind}-{name}-{seed}"
    torch.manual_seed(seed), np.random.seed(seed)
    model, cost = train(build(name), kind, seed)
    torch.save([model.state_dict(), cost], f"{job}.pt")


def measure_theirs(results, kind, name, seed):
    job = f"{results}/{kind}-{name}-{seed}"
    weights, cost = torch.load(f"{job}.pt")
    model = build(name)
    model.load_state_dict(weights, strict=True)
    numbers = measure(model.eval(), kind, name, judges(results))
    parameters = sum(p.numel() for p in model.parameters())
    write(f"{job}.multivae.json", cost | numbers | {"parameters": parameters})


def ours(results, folder, kind, name, seed):
    bundle = f"{folder}/run/bundle"
    model, differ = build(name), None
    if name != "mhvae":
        settings = AutoConfig.from_json_file(f"{bundle}/model_config.json")
        model = getattr(models, CLASSES[name][0])(settings)
        # The same but for the order of keys and what is a default.
        differ = {
            key: (a, getattr(config(name), key))
            for key, a in vars(settings).items()
            if key != "custom_architectures" and json.dumps(a) != json.dumps(getattr(config(name), key))
        }
    model.load_state_dict(load_file(f"{bundle}/model.safetensors"), strict=True)
    with open(f"{folder}/cost.json") as file:
        cost = json.load(file)
    numbers = measure(model.eval(), kind, name, judges(results))
    parameters = sum(p.numel() for p in model.parameters())
    write(
        f"{results}/{kind}-{name}-{seed}.ours.json",
        {"cost": cost, "differ": repr(differ), "parameters": parameters} | numbers,
    )


def finished(runs, results):
    """Runs of ours that are finished and not measured."""
    for folder in runs:
        for point in sorted(os.listdir(f"{folder}/points")):
            found = re.match(r"images_(\w+)\.toml-model=(\w+)#\d-seed=(\d)$", point)
            kind, name, seed = found.groups()
            point = f"{folder}/points/{point}"
            there = os.path.exists(f"{results}/{kind}-{name}-{seed}.ours.json")
            if name in CLASSES and os.path.exists(f"{point}/run/bundle/SHA256SUMS") and not there:
                yield ours, results, point, kind, name, int(seed)


def tables(results):
    """Means over seeds with their standard errors: coherence with 1 and 2 given, explained with 1, 2
    and 3, Fréchet distance with 1 and 2, log p(x) in nats, work in seconds, memory in MiB."""
    found = {}
    for file in sorted(os.listdir(results)):
        name = re.match(r"(\w+)-(\w+)-(\d)\.(\w+)\.json$", file)
        if name:
            kind, model, _, by = name.groups()
            with open(f"{results}/{file}") as file:
                found.setdefault((kind, model, by), []).append(json.load(file))

    def cell(values, digits):
        if None in values:
            return "–"
        values = np.array(values, float)
        text = f"{values.mean():.{digits}f}"
        if len(values) > 1:
            text += f" ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"
        return text

    for (kind, model, by), runs in sorted(found.items()):
        cost = [run.get("cost", run) for run in runs]
        cells = [
            *(cell([run["coherence"].get(n) for run in runs], 3) for n in "12"),
            *(cell([run["explained"].get(n) for run in runs], 3) for n in "123"),
            *(cell([run["distance"].get(n) for run in runs], 0) for n in "12"),
            cell([run["likelihood"] for run in runs], 1),
            cell([c["work"] for c in cost], 0),
            cell([c["mb"] if "mb" in c else c["memory"] / 2**20 for c in cost], 0),
        ]
        print(f"| {kind} | `{model}` | {by} | {len(runs)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    results, runs = sys.argv[1], sys.argv[2].split(",")
    os.makedirs(results, exist_ok=True)
    jobs = [(results, *job.split("-")) for job in sys.argv[3:]]
    tasks = [(theirs, *job) for job in jobs if not os.path.exists("%s/%s-%s-%s.pt" % job)]
    if not os.path.exists(f"{results}/classifiers.pt"):
        tasks.insert(0, (learn_classifiers, f"{results}/classifiers.pt"))
    together([(*task[:-1], int(task[-1])) if task[0] is theirs else task for task in tasks])
    done = lambda job: os.path.exists("%s/%s-%s-%s.multivae.json" % job)
    tasks = [(measure_theirs, *job[:-1], int(job[-1])) for job in jobs if not done(job)]
    together(tasks + list(finished(runs, results)))
    tables(results)
