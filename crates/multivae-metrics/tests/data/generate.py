"""Writes the values that the measures are tested against.

Run it with the packages below; it overwrites what lies beside it:

    python generate.py

Versions of the recorded run stand in `recorded.json` under `versions`.

Arrays are not recorded: both sides make them from the same integers, see `unit`.
"""

import json
from pathlib import Path

import numpy as np
import scipy
import skimage
import sklearn
import torch
import torchmetrics
import torchvision
import scipy.linalg
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure as torch_ms_ssim,
    peak_signal_noise_ratio as torch_psnr,
    structural_similarity_index_measure as torch_ssim,
)
from torchvision.transforms.functional import resize

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


def clusters():
    cases = []
    for seed, rows, classes, groups, agreement in [
        (11, 200, 10, 10, 0.7),
        (13, 500, 4, 9, 0.9),
        (15, 300, 12, 5, 0.5),
        (17, 50, 3, 3, 0.0),
    ]:
        labels = (unit(seed, rows) * classes).astype(int)
        other = (unit(seed + 1, rows) * groups).astype(int)
        assigned = np.where(unit(seed + 2, rows) < agreement, labels % groups, other)
        table = contingency_matrix(labels, assigned)
        matched = linear_sum_assignment(-table)
        cases.append(
            {
                "seed": seed,
                "rows": rows,
                "classes": classes,
                "groups": groups,
                "agreement": agreement,
                "accuracy": float(table[matched].sum() / rows),
                "mutual_information": float(normalized_mutual_info_score(labels, assigned)),
                "adjusted_rand_index": float(adjusted_rand_score(labels, assigned)),
            }
        )
    return cases


def within_reach(reference, queries, neighbours):
    """Share of the queries that lie in a ball of the reference (Kynkäänniemi et al. 2019)."""
    own = cdist(reference, reference)
    np.fill_diagonal(own, np.inf)
    radii = np.sort(own, axis=1)[:, neighbours - 1]
    return float((cdist(queries, reference) <= radii[None, :]).any(axis=1).mean())


def sets():
    cases = []
    for seed, features, rows, other, spread in [
        (21, 8, 200, 200, 1.5),
        (24, 64, 300, 400, 0.95),
        # Fewer rows than features: covariances without full rank.
        (27, 128, 60, 60, 1.0),
    ]:
        mixing = unit(seed, (features, features)) - 0.5
        a = (unit(seed + 1, (rows, features)) @ mixing + 0.05).astype(np.float32)
        b = (unit(seed + 2, (other, features)) @ mixing * spread).astype(np.float32)
        a, b = a.astype(np.float64), b.astype(np.float64)
        # torchmetrics takes features of images; of these the extractor is the identity.
        fid = FrechetInceptionDistance(feature=Identity(features))
        fid.set_dtype(torch.float64)
        fid.update(torch.tensor(a), real=True)
        fid.update(torch.tensor(b), real=False)
        root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
        by_scipy = (
            ((a.mean(0) - b.mean(0)) ** 2).sum()
            + np.trace(np.cov(a, rowvar=False))
            + np.trace(np.cov(b, rowvar=False))
            - 2 * np.trace(root)
        )
        size = min(rows, other)
        kernel = poly_mmd(torch.tensor(a[:size]), torch.tensor(b[:size]))
        cases.append(
            {
                "seed": seed,
                "features": features,
                "rows": rows,
                "other": other,
                "spread": spread,
                "fid_torchmetrics": float(fid.compute()),
                "fid_scipy": float(by_scipy),
                "kid": float(kernel),
                "precision": within_reach(a, b, 3),
                "recall": within_reach(b, a, 3),
            }
        )
    return cases


def components():
    seed, rows, features, dimensions = 41, 80, 12, 3
    mixing = unit(seed, (features, features)) - 0.5
    values = (unit(seed + 1, (rows, features)) @ mixing).astype(np.float32).astype(np.float64)
    fit = PCA(n_components=dimensions, svd_solver="full").fit(values)
    return {
        "seed": seed,
        "rows": rows,
        "features": features,
        "dimensions": dimensions,
        "explained": fit.explained_variance_ratio_.tolist(),
        "directions": fit.components_.tolist(),
        "first_row": fit.transform(values)[0].tolist(),
    }


def weight_seed(name):
    """A number of a name: FNV-1a of 32 bits."""
    number = 0x811C9DC5
    for byte in name.encode():
        number = (number ^ byte) * 0x01000193 % 2**32
    return number


def random_weights(model):
    """Weights that keep the size of what goes through them, each from its name and place."""
    state = {}
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        kind = name.rsplit(".", 2)[-2:]
        if kind == ["bn", "num_batches_tracked"] or name.startswith("fc."):
            continue
        u = unit(weight_seed(name), shape)
        if kind == ["conv", "weight"]:
            values = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
        elif kind in (["bn", "weight"], ["bn", "running_var"]):
            values = 0.5 + u
        else:
            values = (2 * u - 1) * 0.1
        state[name] = torch.tensor(values.astype(np.float32)).double()
    return state


class Published:
    """Within it, the pools of torchvision's network are those of the network of 2015."""

    def __enter__(self):
        self.average, self.calls = torch.nn.functional.avg_pool2d, 0

        def pool(x, kernel_size, stride, padding):
            self.calls += 1
            if self.calls == 9:
                return torch.nn.functional.max_pool2d(x, 3, 1, 1)
            return self.average(x, kernel_size, stride, padding, count_include_pad=False)

        torch.nn.functional.avg_pool2d = pool

    def __exit__(self, *_):
        assert self.calls == 9, "three blocks A, four C and two E"
        torch.nn.functional.avg_pool2d = self.average


@torch.no_grad()
def inception():
    model = torchvision.models.inception_v3(
        weights=None, aux_logits=False, transform_input=False, init_weights=False
    ).double()
    model.load_state_dict(random_weights(model), strict=False)
    model.fc = torch.nn.Identity()
    model.eval()
    kept = {}
    for layer, features in [("maxpool1", 64), ("maxpool2", 192), ("Mixed_6e", 768)]:
        hook = lambda _, __, out, features=features: kept.update({features: out.mean((2, 3))})
        getattr(model, layer).register_forward_hook(hook)
    cases = []
    for seed, channels, height, width in [(31, 1, 28, 28), (33, 3, 400, 320)]:
        image = torch.tensor(unit(seed, (1, channels, height, width)).astype(np.float32)).double()
        image = image.expand(1, 3, height, width)
        image = resize(image, [299, 299], antialias=True) * 2 - 1
        case = {"seed": seed, "channels": channels, "height": height, "width": width}
        case["torchvision"] = rounded(model(image))
        with Published():
            case["published"] = rounded(model(image))
        for features, values in kept.items():
            case[str(features)] = rounded(values[:, :: features // 64])
        cases.append(case)
    two = {
        "Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3),
        "Conv2d_1a_3x3.bn.weight": torch.ones(8),
    }
    torch.save(two, HERE / "two.pth")
    return {name: list(tensor.shape) for name, tensor in random_weights(model).items()}, cases


def rounded(values):
    """Eight digits of a row, to keep files small."""
    return [float(f"{value:.8g}") for value in values[0].tolist()]


class Identity(torch.nn.Module):
    """The features themselves."""

    def __init__(self, features):
        super().__init__()
        self.num_features = features

    def forward(self, x):
        return x


def main():
    weights, inception_features = inception()
    recorded = {
        "versions": {
            "numpy": np.__version__,
            "scikit-image": skimage.__version__,
            "scikit-learn": sklearn.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__,
            "torchmetrics": torchmetrics.__version__,
            "torchvision": torchvision.__version__,
        },
        "structural": structural(),
        "clusters": clusters(),
        "sets": sets(),
        "components": components(),
        "weights": weights,
        "inception": inception_features,
    }
    (HERE / "recorded.json").write_text(json.dumps(recorded, separators=(",", ":")).replace("},", "},\n") + "\n")


if __name__ == "__main__":
    main()
