"""Multimodal variational autoencoders: one joint representation of several modalities, some missing.

>>> import multivae_rs as mv
>>> model = mv.MVTCAE(latent=20, epochs=50, seed=0)
>>> model.fit({"rna": X, "protein": frame}, y)                                  # doctest: +SKIP
>>> z = model.transform({"rna": X}, given=["rna"])                              # doctest: +SKIP
>>> model.generate({"rna": X}, given="rna", target="protein")                   # doctest: +SKIP

Every model of the program is a class here, with all keys of its configuration; what is computed is what
the program computes. ``python -m multivae_rs`` is the program itself.
"""

from . import _models, _native, nn
from ._model import Model, load, pull
from ._models import *  # noqa: F403
from ._results import DataWarning, Imputed, NotFittedError, Report, Rows

__version__: str = _native.__version__

__all__ = [
    "DataWarning", "Imputed", "Model", "NotFittedError", "Report", "Rows", "devices", "load", "models", "nn", "pull",
]  # fmt: skip
__all__ += _models.__all__


def models() -> dict[str, str]:
    """Names of the models as the program has them, each with what it is in a line."""
    return dict(_native.models())


def devices() -> list[str]:
    """Names of the devices that models can be trained and used on."""
    return _native.devices()
