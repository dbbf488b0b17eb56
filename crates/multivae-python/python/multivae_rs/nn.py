"""Networks as data: layers whose inputs follow from what comes in, and published networks.

An encoder is a list of layers, upon which two linear heads stand, or a published network; a decoder
is a list of layers, of which the last, linear layer is added, or a published network. The size of a
layer that is left open becomes what is needed there.

>>> import multivae_rs as mv
>>> model = mv.MVAE(encoder={"rna": [mv.nn.Linear(64), mv.nn.SiLU()]}, decoder={"rna": mv.nn.Mlp([64])})
"""

from __future__ import annotations

from typing import Any, Union

__all__ = [
    "AvgPool", "BatchNorm", "Conv", "Conv2d", "Conv3d", "ConvTranspose2d", "ConvTranspose3d", "CubImage",
    "CubText", "Dropout", "Embedding", "Flatten", "GELU", "GroupNorm", "Identity", "Layer", "LayerNorm",
    "LeakyReLU", "Linear", "MaxPool", "Mlp", "Network", "PolymnistConv", "PolymnistConvAdapted",
    "PolymnistResnet", "Positions", "ReLU", "Reshape", "Residual", "SiLU", "Sigmoid", "SoftClamp", "Softplus",
    "Svhn", "Tanh", "Transformer", "Upsample",
]  # fmt: skip

#: One number for all axes, or one for each.
Extent = Union[int, list[int]]


class _Described:
    kind: str

    def __init__(self, **settings: Any):
        self._settings = {key: value for key, value in settings.items() if value is not None}

    def to_config(self) -> dict[str, Any]:
        """As a configuration has it."""
        return {"kind": self.kind, **{key: config(value) for key, value in self._settings.items()}}

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings.items())
        return f"{type(self).__name__}({settings})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Described) and type(self) is type(other) and self._settings == other._settings

    def __hash__(self) -> int:
        return hash(repr(self))


class Layer(_Described):
    """A layer."""


class Network(_Described):
    """A published network, or a perceptron."""


def config(value: Any) -> Any:
    """A value with its layers and networks as a configuration has them."""
    if isinstance(value, _Described):
        return value.to_config()
    if isinstance(value, (list, tuple)):
        return [config(item) for item in value]
    if isinstance(value, dict):
        return {key: config(item) for key, item in value.items()}
    return value


def _checked(key: str, value: Any) -> Any:
    """What can stand for a network."""
    if isinstance(value, Layer):
        return [value]
    if isinstance(value, (list, tuple)):
        for place, layer in enumerate(value):
            if not isinstance(layer, Layer) and not (isinstance(layer, dict) and "kind" in layer):
                raise TypeError(f"`{key}`, layer {place}: expected a layer of `nn`, found {layer!r}")
    elif not isinstance(value, Network) and not (isinstance(value, dict) and "kind" in value):
        raise TypeError(f"`{key}`: expected a list of layers of `nn`, or a network of `nn`, found {value!r}")
    return value


def encoder(value: Any) -> Any:
    """An encoder as a configuration has it."""
    value = _checked("encoder", value)
    if isinstance(value, (list, tuple)):
        return {"kind": "branches", "shared": {"trunk": config(value)}}
    return config(value)


def decoder(value: Any) -> Any:
    """A decoder as a configuration has it."""
    value = _checked("decoder", value)
    if isinstance(value, (list, tuple)):
        return {"kind": "layers", "layers": [*config(value), {"kind": "linear"}]}
    return config(value)


class Linear(Layer):
    """An affine map of all features of a row, to ``[outputs]``; open if not given."""

    kind = "linear"

    def __init__(self, outputs: int | None = None, *, bias: bool = True):
        super().__init__(outputs=outputs, bias=bias)


class Conv2d(Layer):
    """A convolution of an image."""

    kind = "conv2d"

    def __init__(
        self, channels: int | None = None, kernel: Extent = 3, stride: Extent = 1, padding: Extent = 0, *, bias: bool = True
    ):
        super().__init__(channels=channels, kernel=kernel, stride=stride, padding=padding, bias=bias)


class Conv3d(Conv2d):
    """A convolution of a volume."""

    kind = "conv3d"


class ConvTranspose2d(Layer):
    """A transposed convolution of an image; a vector is an image of one pixel."""

    kind = "conv_transpose2d"

    def __init__(
        self,
        channels: int | None = None,
        kernel: Extent = 3,
        stride: Extent = 1,
        padding: Extent = 0,
        output_padding: Extent = 0,
        *,
        bias: bool = True,
    ):
        super().__init__(
            channels=channels, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding, bias=bias
        )


class ConvTranspose3d(ConvTranspose2d):
    """A transposed convolution of a volume; a vector is a volume of one voxel."""

    kind = "conv_transpose3d"


class BatchNorm(Layer):
    """Normalisation over the rows of a batch that observe the modality."""

    kind = "batch_norm"

    def __init__(self) -> None:
        super().__init__()


class LayerNorm(Layer):
    """Normalisation of each row over its features."""

    kind = "layer_norm"

    def __init__(self) -> None:
        super().__init__()


class GroupNorm(Layer):
    """Normalisation of each row of images over groups of channels."""

    kind = "group_norm"

    def __init__(self, groups: int):
        super().__init__(groups=groups)


class ReLU(Layer):
    """``max(x, 0)``."""

    kind = "relu"

    def __init__(self) -> None:
        super().__init__()


class LeakyReLU(Layer):
    """``x`` where positive, ``slope x`` elsewhere."""

    kind = "leaky_relu"

    def __init__(self, slope: float = 0.01):
        super().__init__(slope=slope)


class SiLU(ReLU):
    """``x sigmoid(x)``."""

    kind = "silu"


class GELU(ReLU):
    """``x`` times the distribution function of the standard normal."""

    kind = "gelu"


class Tanh(ReLU):
    """Hyperbolic tangent."""

    kind = "tanh"


class Sigmoid(ReLU):
    """``1 / (1 + exp(-x))``."""

    kind = "sigmoid"


class Softplus(ReLU):
    """``ln(1 + exp(x))``."""

    kind = "softplus"


class Identity(ReLU):
    """What comes in."""

    kind = "identity"


class Flatten(ReLU):
    """One vector of all features."""

    kind = "flatten"


class Positions(ReLU):
    """Adds sines and cosines of positions (Vaswani et al. 2017)."""

    kind = "positions"


class SoftClamp(Layer):
    """``limit tanh(x / limit)``."""

    kind = "soft_clamp"

    def __init__(self, limit: float):
        super().__init__(limit=limit)


class Dropout(Layer):
    """Features set to 0 at random while a model trains."""

    kind = "dropout"

    def __init__(self, rate: float):
        super().__init__(rate=rate)


class Residual(Layer):
    """``shortcut(x) + scale layers(x)``."""

    kind = "residual"

    def __init__(self, layers: list[Layer], scale: float = 1.0):
        super().__init__(layers=layers, scale=scale)


class AvgPool(Layer):
    """Means over windows of an image."""

    kind = "avg_pool"

    def __init__(self, kernel: Extent, stride: Extent | None = None, padding: Extent = 0):
        super().__init__(kernel=kernel, stride=stride, padding=padding)


class MaxPool(AvgPool):
    """Largest values of windows of an image."""

    kind = "max_pool"


class Upsample(Layer):
    """Each pixel repeated."""

    kind = "upsample"

    def __init__(self, factor: Extent):
        super().__init__(factor=factor)


class Reshape(Layer):
    """The same features in another shape, without the batch axis."""

    kind = "reshape"

    def __init__(self, shape: list[int]):
        super().__init__(shape=shape)


class Embedding(Layer):
    """A vector for each token: from ``[length, vocabulary]`` to ``[length, size]``."""

    kind = "embedding"

    def __init__(self, size: int, *, range: float | None = None, scaled: bool = False):
        super().__init__(size=size, range=range, scaled=scaled)


class Transformer(Layer):
    """Self-attention and a network a position (Vaswani et al. 2017)."""

    kind = "transformer"

    def __init__(self, heads: int, hidden: int, layers: int, dropout: float = 0.1):
        super().__init__(heads=heads, hidden=hidden, layers=layers, dropout=dropout)


class Mlp(Network):
    """A perceptron with hidden layers of these widths."""

    kind = "mlp"

    def __init__(self, hidden: list[int], *, activation: str = "relu", output: str | None = None):
        super().__init__(hidden=hidden, activation=activation, output=output)


class Conv(Network):
    """Convolutions of kernel 3 that halve the extents, and a linear layer; as a decoder the reverse."""

    kind = "conv"

    def __init__(self, channels: list[int], *, hidden: int = 256):
        super().__init__(channels=channels, hidden=hidden)


class PolymnistConv(Network):
    """The convolutions of PolyMNIST's models."""

    kind = "polymnist_conv"

    def __init__(self) -> None:
        super().__init__()


class PolymnistConvAdapted(PolymnistConv):
    """The same with convolutional heads; an encoder."""

    kind = "polymnist_conv_adapted"


class PolymnistResnet(PolymnistConv):
    """The residual blocks of MMVAE+."""

    kind = "polymnist_resnet"


class Svhn(Network):
    """The convolutions of MMVAE for SVHN; `output` is what follows the last layer of a decoder."""

    kind = "svhn"

    def __init__(self, *, output: str | None = None):
        super().__init__(output=output)


class CubImage(Network):
    """The residual blocks of MMVAE+ for images of birds."""

    kind = "cub_image"

    def __init__(self, *, start: int | None = None, filters: int | None = None, max_filters: int | None = None):
        super().__init__(start=start, filters=filters, max_filters=max_filters)


class CubText(Network):
    """A transformer over captions; as a decoder a perceptron."""

    kind = "cub_text"

    def __init__(
        self,
        *,
        size: int | None = None,
        heads: int | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        dropout: float | None = None,
    ):
        super().__init__(size=size, heads=heads, hidden=hidden, layers=layers, dropout=dropout)
