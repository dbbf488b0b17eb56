"""Writes the values that the measures are tested against.

Run it with the packages below; it overwrites what lies beside it:

    python generate.py

Versions of the recorded run stand in `recorded.json` under `versions`.

Arrays are not recorded: both sides make them from the same integers, see `unit`.
"""

import json
from pathlib import Path

import numpy as np
import skimage
import torch
import torchmetrics
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure as torch_ms_ssim,
    peak_signal_noise_ratio as torch_psnr,
    structural_similarity_index_measure as torch_ssim,
)

HERE = Path(__file__).parent


def unit(seed, shape):
    """Numbers in [0, 1), each from its place: the finaliser of splitmix64, 24 bits of it."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64).reshape(shape) / 2**24


def images(seed, batch, channels, side):
    """Smooth images with an edge, between 0 and 1, and noisy copies of them."""
    at = np.arange(side) / side
    row, column = at[:, None], at[None, :]
    smooth = row * column + (row > column) * 0.25
    shift = unit(seed, (batch, channels))[:, :, None, None] * 0.25
    reference = smooth * 0.5 + shift
    noise = unit(seed + 1, (batch, channels, side, side)) * 0.25
    return (reference * 0.75 + noise).astype(np.float32), reference.astype(np.float32)


def structural():
    cases = []
    for seed, batch, channels, side, data_range in [
        (1, 3, 3, 28, 1.0),
        (3, 2, 1, 32, 2.0),
        (5, 2, 3, 64, 1.0),
        (7, 1, 1, 176, 1.0),
        (9, 2, 1, 7, 1.0),
    ]:
        x, y = images(seed, batch, channels, side)
        a, b = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
        of = lambda f, **options: f(a, b, data_range=data_range, reduction="none", **options)
        scales = max(
            [n for n in range(2, 6) if side // (n - 1) ** 2 > 10 and side >> (n - 1) > 5],
            default=1,
        )
        weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
        betas = tuple(float(w) for w in weights if scales == 5) or tuple(
            float(w) for w in weights / weights.sum()
        )
        psnr = torch_psnr(a, b, data_range=data_range, reduction="none", dim=(1, 2, 3))
        case = {
            "seed": seed,
            "batch": batch,
            "channels": channels,
            "side": side,
            "data_range": data_range,
            "mse": ((a - b) ** 2).mean(dim=(1, 2, 3)).tolist(),
            "psnr": psnr.tolist(),
            "psnr_skimage": [
                float(peak_signal_noise_ratio(q, p, data_range=data_range))
                for p, q in zip(a.numpy(), b.numpy())
            ],
            "ssim": of(torch_ssim).tolist(),
            "scales": scales,
            "ms_ssim": of(torch_ms_ssim, betas=betas).tolist() if scales > 1 else None,
            # scikit-image leaves out the border, where it reflects differently.
            "ssim_skimage": [
                float(
                    structural_similarity(
                        q,
                        p,
                        data_range=data_range,
                        channel_axis=0,
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                    )
                )
                for p, q in zip(a.numpy(), b.numpy())
            ]
            if side >= 11
            else None,
        }
        cases.append(case)
    return cases


def main():
    recorded = {
        "versions": {
            "numpy": np.__version__,
            "scikit-image": skimage.__version__,
            "torch": torch.__version__,
            "torchmetrics": torchmetrics.__version__,
        },
        "structural": structural(),
    }
    (HERE / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
