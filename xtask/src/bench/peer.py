"""Measures one model of the Python library MultiVae on one workload, when it is asked to.

Speaks as `crates/multivae/examples/bench` does: a line `MEASURE N` in, a line of JSON out.
Settings are those of the library's examples where it has one for the model, else its defaults.
"""

import itertools
import json
import logging
import os
import resource
import sys
import tempfile
import time
import warnings

os.environ["TQDM_DISABLE"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import torch
from torch import nn

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
torch.manual_seed(0)
# The answers go to what was standard output; nothing else may.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import multivae.models as models
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.metrics import (
    ClassifierPolyMNIST, Clustering, ClusteringConfig, CoherenceEvaluator, CoherenceEvaluatorConfig, FIDEvaluator, FIDEvaluatorConfig,
    Reconstruction, ReconstructionConfig,
)
from multivae.models.base import BaseAEConfig, BaseDecoder, BaseEncoder, ModelOutput
from multivae.models.nn.default_architectures import MultipleHeadJointEncoder
from multivae.models.nn.mmnist import DecoderConvMMNIST, EncoderConvMMNIST_adapted, EncoderConvMMNIST_multilatents
from multivae.trainers import BaseTrainer, BaseTrainerConfig

EPOCH, ROWS, SAMPLES, WARM_UP = 4096, 1024, 1000, 4
ESTIMATED = 256, 4
EVALUATED = 1000
CLASSES = {
    "jmvae": "JMVAE", "telbo": "TELBO", "jnf": "JNF", "mvae": "MVAE", "mmvae": "MMVAE", "mopoe": "MoPoE", "mvtcae": "MVTCAE",
    "crmvae": "CRMVAE", "dmvae": "DMVAE", "mmvae_plus": "MMVAEPlus", "cmvae": "CMVAE", "nexus": "Nexus", "mhvae": "MHVAE", "cvae": "CVAE",
}
WORKLOADS = {
    "tabular": dict(shapes={"a": (40,), "b": (60,), "c": (20,)}, latent=10, private=5, batch=64),
    "mnist_svhn": dict(shapes={"mnist": (1, 28, 28), "svhn": (3, 32, 32)}, latent=20, private=10, batch=128),
    "polymnist": dict(shapes={f"m{i}": (3, 28, 28) for i in range(5)}, latent=64, private=32, batch=128),
}
name, workload_name = sys.argv[1:]
workload = WORKLOADS[workload_name]
shapes, latent, private, batch_size = (workload[key] for key in ("shapes", "latent", "private", "batch"))
images = workload_name == "polymnist"
has_private = name in ("dmvae", "mmvae_plus", "cmvae")
if name == "cvae" and images:
    shapes = {key: shapes[key] for key in ("m0", "m1")}
if images and has_private:
    latent = 32
main = {"tabular": "a", "mnist_svhn": "svhn", "polymnist": "m0"}[workload_name]
ITERATIVE = dict(K=1, prior_and_posterior_dist="laplace_with_softmax", beta=2.5, modalities_specific_dim=private, learn_modality_prior=True, loss="iwae_looser")


def settings():
    laplace = {"prior_and_posterior_dist": "laplace_with_softmax"}
    return {
        "jmvae": dict(alpha=0.1, warmup=200),
        "jnf": dict(warmup=400),
        "mvae": dict(use_subsampling=True, warmup=0, beta=2.5),
        "mmvae": dict(K=10, learn_prior=False, **laplace),
        "mopoe": dict(beta=2.5),
        "mvtcae": dict(beta=2.5, alpha=5 / 6),
        "crmvae": dict(beta=0.1),
        "dmvae": dict(modalities_specific_dim={"mnist": 1, "svhn": 4}, rescale_factors={"mnist": 50, "svhn": 1}, uses_likelihood_rescaling=True)
        if workload_name == "mnist_svhn" else dict(modalities_specific_dim={key: private for key in shapes}),
        "mmvae_plus": dict(learn_shared_prior=False, **ITERATIVE),
        "cmvae": dict(number_of_clusters=40, **ITERATIVE),
        "nexus": dict(modalities_specific_dim={key: 64 if images else private for key in shapes}),
        "mhvae": dict(n_latent=3, beta=1.0),
    }.get(name, {})


# MHVAE's networks are the user's there: those of our defaults, which have the sizes of the library's example.
class Into(BaseEncoder):
    """Images into the finest level."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*halve(3, 32, 1), *halve(32, 32))

    def forward(self, x):
        return ModelOutput(embedding=self.layers(x))


class Out(BaseDecoder):
    """The finest level into images."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(double(32, 32), nn.SiLU(), double(32, 3, 1, 0), nn.Sigmoid())

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z))


class Normal(BaseEncoder):
    """A mean and a log-variance of one trunk, both softly limited to 10."""

    def __init__(self, head, *trunk):
        super().__init__()
        self.trunk, self.mean, self.log_var = nn.Sequential(*trunk), head(), head()

    def forward(self, x):
        hidden = self.trunk(x)
        limited = [10 * torch.tanh(head(hidden) / 10) for head in (self.mean, self.log_var)]
        return ModelOutput(embedding=limited[0], log_covariance=limited[1])


def halve(before, after, stride=2):
    return [nn.Conv2d(before, after, 3, stride, 1), nn.SiLU()]


def double(before, after, stride=2, extra=1):
    return nn.ConvTranspose2d(before, after, 3, stride, 1, output_padding=extra)


def hierarchy():
    features = 128
    point = lambda channels: lambda: nn.Conv2d(channels, channels, 1)
    join = lambda channels: Normal(point(channels), *halve(2 * channels, channels, 1))
    middle = nn.Sequential(*halve(32, 64))
    top = lambda: Normal(lambda: nn.Linear(512, features), *halve(64, 128), nn.Flatten(), nn.Linear(2048, 512), nn.ReLU())
    unfold = [nn.Linear(features, 512), nn.ReLU(), nn.Linear(512, 2048), nn.ReLU(), nn.Unflatten(-1, (128, 4, 4))]
    return dict(
        encoders={key: Into() for key in shapes},
        decoders={key: Out() for key in shapes},
        bottom_up_blocks={key: [middle, top()] for key in shapes},
        top_down_blocks=[nn.Sequential(double(64, 32), nn.SiLU()), nn.Sequential(*unfold, double(128, 64, 2, 0), nn.SiLU())],
        prior_blocks=[Normal(point(channels)) for channels in (32, 64)],
        posterior_blocks={key: [join(32), join(64)] for key in shapes},
    )


def build():
    given = dict(latent_dim=latent, input_dims=dict(shapes), **settings())
    if name == "cvae":
        given.update(main_modality=main, conditioning_modalities=[key for key in shapes if key != main])
        if images:
            given.update(decoder_dist="laplace", decoder_dist_params={"scale": 0.75})
    else:
        given["n_modalities"] = len(shapes)
        if images and name != "mhvae":
            given.update(decoders_dist={key: "laplace" for key in shapes}, decoder_dist_params={key: {"scale": 0.75} for key in shapes})
    if name == "mhvae":
        given["latent_dim"] = 128
    make, config = getattr(models, CLASSES[name]), getattr(models, CLASSES[name] + "Config")(**given)
    if not images:
        return make(config)
    if name == "mhvae":
        return make(config, **hierarchy())
    shape = (3, 28, 28)
    if name == "cvae":
        of = BaseAEConfig(latent_dim=latent, input_dim=shape)
        return make(config, encoder=MultipleHeadJointEncoder({key: EncoderConvMMNIST_adapted(of) for key in shapes}, of))
    style = private if has_private else 0
    encoder = EncoderConvMMNIST_multilatents if style else EncoderConvMMNIST_adapted
    of = BaseAEConfig(latent_dim=latent, style_dim=style, input_dim=shape)
    back = BaseAEConfig(latent_dim=latent + style, input_dim=shape)
    return make(config, encoders={key: encoder(of) for key in shapes}, decoders={key: DecoderConvMMNIST(back) for key in shapes})


def data(rows):
    return MultimodalBaseDataset({key: torch.rand(rows, *shape) for key, shape in shapes.items()})


def batches(rows):
    return list(torch.utils.data.DataLoader(data(rows), batch_size=batch_size))


learners = {}


def steps(stage, count):
    if stage == 2 and name not in ("telbo", "jnf"):
        raise ValueError("the model has one stage")
    if stage not in learners:
        model = build().train()
        learners[stage] = model, torch.optim.Adam(model.parameters(), lr=1e-3), batches(batch_size)[0]
        steps(stage, WARM_UP)
    model, optimizer, batch = learners[stage]
    epoch = 1 if stage == 1 else getattr(model, "warmup", 10) + 1
    times = []
    for repetition in range(count + 1):
        start = time.perf_counter()
        out = model(batch, epoch=epoch, dataset_size=EPOCH, uses_ddp=False, batch_ratio=0.0)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        float(out.loss)
        # The first step of a turn finds its caches full of others' values.
        if repetition:
            times.append((time.perf_counter() - start) * 1e3)
    return dict(ms=times, rows=batch_size)


def runs(count, whole):
    times = []
    for _ in range(count + 1):
        model, rows = build(), data(EPOCH)
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(output_dir=folder, num_epochs=1, per_device_train_batch_size=batch_size, learning_rate=1e-3,
                                       optimizer_cls="Adam", no_cuda=True, seed=0)
            trainer = BaseTrainer(model, train_dataset=rows, training_config=config)
            inner, spent = trainer.train_step, []

            def epoch(number):
                begin = time.perf_counter()
                out = inner(number)
                spent.append(time.perf_counter() - begin)
                return out

            trainer.train_step = epoch
            start = time.perf_counter()
            trainer.train()
            times.append((time.perf_counter() - start if whole else spent[0]) * 1e3)
    return dict(ms=times[1:], rows=EPOCH)


fixed = []


def passes(count, run):
    if not fixed:
        fixed.append(build().eval())
    loader = torch.utils.data.DataLoader(data(ROWS), batch_size=batch_size)
    times = []
    with torch.no_grad():
        for repetition in range(count + 1):
            start = time.perf_counter()
            for batch in loader:
                run(fixed[0], batch)
            if repetition:
                times.append((time.perf_counter() - start) * 1e3)
    return dict(ms=times, rows=ROWS)


def encode(model, batch):
    if name == "cvae":
        model.encode(batch)
    else:
        model.encode(batch, return_mean=True)


def generate(model, batch):
    if name == "cvae":
        model.predict(batch, cond_mod=[key for key in shapes if key != main], gen_mod=main)
    else:
        model.predict(batch, cond_mod=[next(iter(shapes))], gen_mod="all")


def samples(count):
    if len(shapes) < 3 or name == "cvae":
        raise ValueError("two of the modalities are all")
    if not fixed:
        fixed.append(build().eval())
    batch, given = batches(batch_size)[0], list(shapes)[:2]
    times = []
    for _ in range(count):
        start = time.perf_counter()
        fixed[0].encode(batch, cond_mod=given)
        times.append((time.perf_counter() - start) * 1e3)
    return dict(ms=times, rows=batch_size)


def likelihoods(count):
    if not fixed:
        fixed.append(build().eval())
    rows, few = ESTIMATED
    times = []
    with torch.no_grad():
        fixed[0].compute_joint_nll(data(few), K=SAMPLES, batch_size_K=100)
        for _ in range(count):
            given = data(rows)
            start = time.perf_counter()
            fixed[0].compute_joint_nll(given, K=SAMPLES, batch_size_K=100)
            times.append((time.perf_counter() - start) * 1e3)
    return dict(ms=times, rows=rows)


def evaluations(measure):
    """An evaluator of the library with its defaults, on rows that show one of ten classes to classifiers that have learned nothing."""

    def run(count):
        if not images or name == "cvae":
            raise ValueError("classifiers are there for PolyMNIST")
        if not fixed:
            fixed.append(build().eval())
        model, rows = fixed[0], MultimodalBaseDataset(data(EVALUATED).data, labels=torch.arange(EVALUATED) % 10)
        looks = {key: ClassifierPolyMNIST().eval() for key in shapes}
        sizes = dict(batch_size=batch_size)

        def coherence():
            CoherenceEvaluator(model, looks, rows, eval_config=CoherenceEvaluatorConfig(num_classes=10, **sizes)).cross_coherences()

        def reconstruction():
            evaluator = Reconstruction(model, rows, eval_config=ReconstructionConfig(**sizes))
            for given in range(1, len(shapes) + 1):
                for subset in itertools.combinations(shapes, given):
                    evaluator.reconstruction_from_subset(list(subset))

        def frechet():
            # What its classifiers see before their last layer.
            features = {key: look.encoder[:-1] for key, look in looks.items()}
            evaluator = FIDEvaluator(model, rows, eval_config=FIDEvaluatorConfig(**sizes), custom_encoders=features)
            for key in shapes:
                evaluator.compute_all_conditional_fids(key)

        def clustering():
            Clustering(model, rows, rows, eval_config=ClusteringConfig(**sizes)).eval()

        evaluate, times = dict(coherence=coherence, reconstruction=reconstruction, frechet=frechet, clustering=clustering)[measure], []
        for _ in range(count):
            start = time.perf_counter()
            evaluate()
            times.append((time.perf_counter() - start) * 1e3)
        return dict(ms=times, rows=EVALUATED)

    return run


MEASURES = {
    "ready": lambda count: {},
    "train_step": lambda count: steps(1, count),
    "second_stage": lambda count: steps(2, count),
    "epoch": lambda count: runs(count, False),
    "run": lambda count: runs(count, True),
    "encode": lambda count: passes(count, encode),
    "generate": lambda count: passes(count, generate),
    "sample": samples,
    "joint_nll": likelihoods,
    **{measure: evaluations(measure) for measure in ("coherence", "reconstruction", "frechet", "clustering")},
}
for line in sys.stdin:
    measure, count = line.split()
    try:
        answer = MEASURES[measure](int(count))
    except Exception as error:  # said, and not hidden
        answer = dict(skipped=f"{type(error).__name__}: {error}")
    answer["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(answer), file=answers, flush=True)
