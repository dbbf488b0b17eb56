"""Makes the folders beside this file: models that multi-view-AE 1.1.8 has trained and saved.

Python 3.9, torch 1.12.1, pytorch-lightning 1.5.10, numpy 1.24, no GPU. A checkpoint is kept without
its optimisers and callbacks, which nobody reads and which hold paths.
"""

import glob
import json
import os
import shutil
import sys

import multiviewae.models
import numpy as np
import torch
import yaml

ROWS = 6
NETWORKS = {
    "encoder": {"default": {"hidden_layer_dim": [6, 4], "non_linear": True}},
    "decoder": {"default": {"hidden_layer_dim": [4, 6], "non_linear": True}},
}
MLP, CNN = "multiviewae.architectures.mlp.", "multiviewae.architectures.cnn."
DISTRIBUTIONS = "multiviewae.base.distributions."
IMAGES = {
    "encoder": {
        "enc0": {
            "_target_": CNN + "VariationalEncoder",
            "bias": True,
            "non_linear": True,
            "layer0": {"layer": "Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 3, "stride": 2, "padding": 1},
            "layer1": {"layer": "Flatten"},
            "layer2": {"layer": "Linear", "in_features": 18, "out_features": 5},
            "enc_dist": {"_target_": DISTRIBUTIONS + "Normal"},
        },
    },
    "decoder": {
        "dec0": {
            "_target_": CNN + "Decoder",
            "bias": True,
            "non_linear": True,
            "layer0": {"layer": "Linear", "out_features": 18},
            "layer1": {"layer": "Unflatten", "dim": 1, "unflattened_size": [2, 3, 3]},
            "layer2": {"layer": "ConvTranspose2d", "in_channels": 2, "out_channels": 1, "kernel_size": 4, "stride": 2, "padding": 1},
            "dec_dist": {"_target_": DISTRIBUTIONS + "ApproxBernoulli"},
        },
    },
}
# Name of the folder: class, settings, latent features, shapes of views.
CASES = {
    "jmvae": ("JMVAE", {"model": {"alpha": 0.5}, **NETWORKS}, 3, [(5,), (3,)]),
    "mmjsd": ("mmJSD", {"model": {"s_dim": 1, "weight_ll": True}, **NETWORKS}, 3, [(5,), (3,), (4,)]),
    "images": ("mVAE", IMAGES, 2, [(1, 6, 6), (3,)]),
}


def plain(value):
    if isinstance(value, list):
        return [plain(part) for part in value]
    return np.asarray(value, dtype=np.float64).tolist()


def make(folder, kind, settings, latent, shapes):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    os.chdir(folder)
    rng = np.random.default_rng(3)
    views = [rng.normal(size=(ROWS, *shape)).astype(np.float32) for shape in shapes]
    views = [1 / (1 + np.exp(-x)) if len(x.shape) > 2 else x for x in views]
    with open("settings.yaml", "w") as file:
        yaml.safe_dump(settings, file)
    sizes = [shape[0] if len(shape) == 1 else shape for shape in shapes]
    model = getattr(multiviewae.models, kind)(cfg="settings.yaml", input_dim=sizes, z_dim=latent)
    model.fit(*map(torch.from_numpy, views), max_epochs=2, batch_size=3)
    model.save_config()
    saved = str(model.cfg.out_dir)
    checkpoint = torch.load(os.path.join(saved, "model.ckpt"))
    for key in ("callbacks", "optimizer_states", "lr_schedulers"):
        checkpoint.pop(key, None)
    torch.save(checkpoint, "model.ckpt")
    [written] = glob.glob(os.path.join(saved, "config_*.yaml"))
    shutil.copy(written, "config_2026-11-29_080000.yaml")
    expected = {
        "views": plain(views),
        "latents": plain(model.predict_latents(*views)),
        "reconstructions": plain(model.predict_reconstruction(*views)),
    }
    with open("expected.json", "w") as file:
        json.dump(expected, file)
    shutil.rmtree("outputs")
    os.remove("settings.yaml")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    for name, case in CASES.items():
        make(os.path.join(here, name), *case)
        print(name, "made", file=sys.stderr)
