"""Saves models with MultiVae 1.0.3 and what they compute: `python make.py` in this folder.

`mopoe`: default networks with private spaces. `custom`: encoders and decoders of the user, which
MultiVae pickles; `custom.toml` describes them.
"""
import torch
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MVAE, AutoModel, MoPoE, MoPoEConfig, MVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from safetensors.torch import save_file
from torch import nn


class Encoder(BaseEncoder):
    def __init__(self, inputs, latent):
        super().__init__()
        self.latent_dim = latent
        self.features = nn.Sequential(nn.Linear(inputs, 4), nn.Tanh(), nn.Linear(4, 3), nn.ReLU())
        self.fc_mu = nn.Linear(3, latent)
        self.fc_logvar = nn.Linear(3, latent)

    def forward(self, x):
        h = self.features(x)
        return ModelOutput(embedding=self.fc_mu(h), log_covariance=self.fc_logvar(h))


class Decoder(BaseDecoder):
    def __init__(self, latent, outputs):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(latent, 4), nn.Tanh(), nn.Linear(4, outputs))

    def forward(self, z):
        return ModelOutput(reconstruction=self.main(z))


def record(model, folder, dims):
    model.save(folder)
    if model.model_config.custom_architectures:
        model = model.eval()
    else:
        model = AutoModel.load_from_folder(folder).eval()
    inputs = {name: torch.rand(6, size) for name, size in dims.items()}
    data, found = MultimodalBaseDataset(inputs), {f"input.{k}": v for k, v in inputs.items()}
    with torch.no_grad():
        for given in ["all", *dims]:
            latent = model.encode(data, given, return_mean=True)
            found[f"encode_mean.{given}"] = latent.z.clone()
            for name, z in (latent.get("modalities_z") or {}).items():
                found[f"encode_mean.{given}.{name}"] = z.clone()
            for name, x in model.decode(latent).items():
                found[f"decode_mean.{given}.{name}"] = x.clone()
    save_file(found, f"{folder}/expected.safetensors")


torch.manual_seed(3)
dims = {"b": 4, "a": 3}
shapes = {name: (size,) for name, size in dims.items()}
record(
    MoPoE(
        MoPoEConfig(
            n_modalities=2,
            latent_dim=3,
            input_dims=shapes,
            decoders_dist={"b": "normal", "a": "bernoulli"},
            modalities_specific_dim={"b": 2, "a": 1},
            beta=2.5,
        )
    ),
    "mopoe",
    dims,
)
record(
    MVAE(
        MVAEConfig(n_modalities=2, latent_dim=2, input_dims=shapes),
        {name: Encoder(size, 2) for name, size in dims.items()},
        {name: Decoder(2, size) for name, size in dims.items()},
    ),
    "custom",
    dims,
)
