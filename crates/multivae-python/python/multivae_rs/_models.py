"""The models, written by `generate.py`."""

# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any

from ._model import Model

__all__ = ["JMVAE", "TELBO", "JNF", "MVAE", "MMVAE", "MoPoE", "MVTCAE", "CRMVAE", "DMVAE",
    "MMVAEPlus", "CMVAE", "Nexus", "MHVAE", "CVAE", "GPoE", "MEMVAE", "WeightedDMVAE", "MMJSD",
    "DVCCA", "MCVAE", "AE", "MAAE", "MWAE", "JointAAE", "DCCAE", "DCCAEY", "MMVM", "WBVAE",
    "HELVAE", "CoDEVAE", "MWBVAE", "MoHELVAE", "SparseMVAE", "MMVAEPlusPlus", "MaskedVAE", "MMHVAE",
    "MVP", "MLD"]


class JMVAE(Model):
    """JMVAE: Joint encoder, approached by unimodal ones (Suzuki et al. 2016).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    alpha
        Weight of the divergences of the joint posterior from the unimodal ones, at least 0; 0.1 if
        not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    warmup
        Epochs over which the weights of all divergences grow from 0; 0 for none; 0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    joint_encoder
        The joint encoder; what is not given follows the encoders of the modalities; {} if not said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "jmvae"
    _keys = ("latent", "alpha", "beta", "warmup", "rescale", "joint_encoder", )

    def __init__(
        self,
        *,
        latent: int = 20,
        alpha: float = 0.1,
        beta: float = 1.0,
        warmup: int = 0,
        rescale: str = "none",
        joint_encoder: Any = None,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.alpha = alpha
        self.beta = beta
        self.warmup = warmup
        self.rescale = rescale
        self.joint_encoder = joint_encoder
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class TELBO(Model):
    """TELBO: Joint encoder, then unimodal ones for its decoders (Vedantam et al. 2018).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    joint_epochs
        Epochs of the first stage, at least 1: the joint encoder and the decoders. The unimodal
        encoders learn in the rest of the run; 10 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "by_size" if
        not said
    lambda_
        Weights of the likelihoods in the first stage by modality, at least 0; `rescale` for one
        that is not named; {} if not said
    gamma
        Weights of the likelihoods in the second stage by modality, at least 0; `rescale` for one
        that is not named; {} if not said
    joint_encoder
        The joint encoder; what is not given follows the encoders of the modalities; {} if not said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "telbo"
    _keys = ("latent", "joint_epochs", "rescale", "lambda_", "gamma", "joint_encoder", )

    def __init__(
        self,
        *,
        latent: int = 20,
        joint_epochs: int = 10,
        rescale: str = "by_size",
        lambda_: Any = None,
        gamma: Any = None,
        joint_encoder: Any = None,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.joint_epochs = joint_epochs
        self.rescale = rescale
        self.lambda_ = lambda_
        self.gamma = gamma
        self.joint_encoder = joint_encoder
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class JNF(Model):
    """JNF: Joint encoder, then unimodal normalizing flows (Senellart et al. 2023).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    joint_epochs
        Epochs of the first stage, at least 1: the joint encoder and the decoders. The unimodal
        encoders and the flows learn in the rest of the run; 10 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    flow
        The flow of a modality that `flows` does not name; {"kind": "maf", "blocks": 2, "hidden":
        128, "layers": 3, "batch_norm": false} if not said
    hmc
        How the chains move that sample given several modalities but not all; {"steps": 100,
        "leapfrog": 10, "step_size": 0.01} if not said
    joint_encoder
        The joint encoder; what is not given follows the encoders of the modalities; {} if not said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "jnf"
    _keys = ("latent", "joint_epochs", "beta", "rescale", "flow", "hmc", "joint_encoder", )

    def __init__(
        self,
        *,
        latent: int = 20,
        joint_epochs: int = 10,
        beta: float = 1.0,
        rescale: str = "none",
        flow: Any = None,
        hmc: Any = None,
        joint_encoder: Any = None,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.joint_epochs = joint_epochs
        self.beta = beta
        self.rescale = rescale
        self.flow = flow
        self.hmc = hmc
        self.joint_encoder = joint_encoder
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MVAE(Model):
    """MVAE: Product of experts, trained on sub-sampled sets of modalities (Wu and Goodman 2018).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    warmup
        Epochs over which the weight of the divergence grows from 0 to `beta`; 0 for none; 0 if not
        said
    subsampling
        Whether the bounds of single modalities and of random subsets are added to the joint one;
        true if not said
    random_subsets
        Random subsets of 2 to `M - 1` modalities a training batch, at most `2^M - M - 2`; 0 if not
        said
    rule
        How experts are joined: "product", or "mean" of their means and log-variances; the prior is
        one of them either way; "product" if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mvae"
    _keys = ("latent", "beta", "warmup", "subsampling", "random_subsets", "rule", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        warmup: int = 0,
        subsampling: bool = True,
        random_subsets: int = 0,
        rule: str = "product",
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.warmup = warmup
        self.subsampling = subsampling
        self.random_subsets = random_subsets
        self.rule = rule
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MMVAE(Model):
    """MMVAE: Mixture of experts, importance-weighted (Shi et al. 2019).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    samples
        Importance samples a source and row, at least 1; 10 if not said
    family
        Family of prior and posteriors: "normal", "normal_softplus" or "laplace_softmax";
        "laplace_softmax" if not said
    learned_prior
        Whether the scale of the prior is learned; true if not said
    estimator
        How gradients are estimated: "iwae" or "dreg"; "dreg" if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mmvae"
    _keys = ("latent", "beta", "samples", "family", "learned_prior", "estimator", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        samples: int = 10,
        family: str = "laplace_softmax",
        learned_prior: bool = True,
        estimator: str = "dreg",
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.samples = samples
        self.family = family
        self.learned_prior = learned_prior
        self.estimator = estimator
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MoPoE(Model):
    """MoPoE: Mixture of products of experts over subsets (Sutter et al. 2021).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    beta_private
        Further weight of the divergences of private spaces, at least 0; 1.0 if not said
    subsets
        Components of the mixture: a list of lists of modality names; empty for all subsets; or {
        sampled = n } for n of all subsets, drawn for each row in each step, where all are too many;
        [] if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mopoe"
    _keys = ("latent", "beta", "beta_private", "subsets", "rescale", "private", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        beta_private: float = 1.0,
        subsets: Any = None,
        rescale: str = "none",
        private: Any = None,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.beta_private = beta_private
        self.subsets = subsets
        self.rescale = rescale
        self.private = private
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MVTCAE(Model):
    """MVTCAE: Product of experts that maximises total correlation (Hwang et al. 2021).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    alpha
        Weight of the divergences from single modalities' posteriors, 0 to 1; that from the prior
        has the rest; 0.1 if not said
    beta
        Weight of all divergences, at least 0; 2.5 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mvtcae"
    _keys = ("latent", "alpha", "beta", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        alpha: float = 0.1,
        beta: float = 2.5,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.alpha = alpha
        self.beta = beta
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class CRMVAE(Model):
    """CRMVAE: Product of experts whose modalities also reconstruct themselves (OpenReview Rn8u4MYgeNJ).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of all divergences, at least 0; 2.5 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "crmvae"
    _keys = ("latent", "beta", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 2.5,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class DMVAE(Model):
    """DMVAE: Shared and private spaces, a bound for each modality (Lee and Pavlovic 2021).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of the divergences of shared posteriors from the prior, at least 0; 1.0 if not said
    private
        Features of private spaces by modality, 4 for one that is not named; 0 for none; {} if not
        said
    private_betas
        Weights of the private divergences by modality, at least 0; 1 for one that is not named; {}
        if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "dmvae"
    _keys = ("latent", "beta", "private", "private_betas", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        private: Any = None,
        private_betas: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.private = private
        self.private_betas = private_betas
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MMVAEPlus(Model):
    """MMVAE+: Mixture of experts with private codes (Palumbo et al. 2023).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    private
        Features of the private space of each modality, at least 1; 10 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    samples
        Importance samples a source and row, at least 1; 10 if not said
    family
        Family of priors and posteriors: "normal", "normal_softplus" or "laplace_softmax";
        "laplace_softmax" if not said
    learned_prior
        Whether the scale of the prior of shared and private codes is learned; false if not said
    learned_location
        Whether its location is learned; false if not said
    learned_modality_priors
        Whether the scales of the auxiliary priors are learned; true if not said
    private_prior
        Where private codes of modalities that are not given come from: "shared" for the prior,
        "modality" for the auxiliary prior; "shared" if not said
    estimator
        How gradients are estimated: "iwae" or "dreg"; "dreg" if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mmvae_plus"
    _keys = ("latent", "private", "beta", "samples", "family", "learned_prior", "learned_location", "learned_modality_priors", "private_prior", "estimator", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        private: int = 10,
        beta: float = 1.0,
        samples: int = 10,
        family: str = "laplace_softmax",
        learned_prior: bool = False,
        learned_location: bool = False,
        learned_modality_priors: bool = True,
        private_prior: str = "shared",
        estimator: str = "dreg",
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.private = private
        self.beta = beta
        self.samples = samples
        self.family = family
        self.learned_prior = learned_prior
        self.learned_location = learned_location
        self.learned_modality_priors = learned_modality_priors
        self.private_prior = private_prior
        self.estimator = estimator
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class CMVAE(Model):
    """CMVAE: Mixture of experts with private codes and clusters (Palumbo et al. 2024).

    Parameters
    ----------
    clusters
        Clusters of the shared space, at least 1; 10 if not said
    latent
        Features of the shared latent space, at least 1; 20 if not said
    private
        Features of the private space of each modality, at least 1; 10 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    samples
        Importance samples a source and row, at least 1; 10 if not said
    family
        Family of priors and posteriors: "normal", "normal_softplus" or "laplace_softmax";
        "laplace_softmax" if not said
    learned_modality_priors
        Whether the scales of the auxiliary priors are learned; true if not said
    private_prior
        Where private codes of modalities that are not given come from: "shared" for the prior,
        "modality" for the auxiliary prior; "shared" if not said
    estimator
        How gradients are estimated: "iwae" or "dreg"; "dreg" if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "cmvae"
    _keys = ("clusters", "latent", "private", "beta", "samples", "family", "learned_modality_priors", "private_prior", "estimator", "rescale", )

    def __init__(
        self,
        *,
        clusters: int = 10,
        latent: int = 20,
        private: int = 10,
        beta: float = 1.0,
        samples: int = 10,
        family: str = "laplace_softmax",
        learned_modality_priors: bool = True,
        private_prior: str = "shared",
        estimator: str = "dreg",
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.clusters = clusters
        self.latent = latent
        self.private = private
        self.beta = beta
        self.samples = samples
        self.family = family
        self.learned_modality_priors = learned_modality_priors
        self.private_prior = private_prior
        self.estimator = estimator
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class Nexus(Model):
    """Nexus: A code for each modality, and a shared space above the codes (Vasco et al. 2022).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    message
        Features of a message, at least 1; 10 if not said
    dropout
        Probability that a training row sends only some of its messages, 0 to 1; 0.0 if not said
    warmup
        Epochs over which the weights of all divergences grow from 0; 0 for none; 20 if not said
    top_beta
        Weight of the divergence of the shared posterior from the prior, at least 0; 1.0 if not said
    adaptive
        Modalities the scale of whose codes, given the shared space, is that of the data; of the
        others it is 1; [] if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    private
        Features of the codes by modality, at least 1; 16 for one that is not named; {} if not said
    bottom_betas
        Weights of the divergences of the codes by modality, at least 0; 1 for one that is not
        named; {} if not said
    gammas
        Weights of the likelihoods of the codes given the shared space by modality, at least 0; 1
        for one that is not named; {} if not said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "nexus"
    _keys = ("latent", "message", "dropout", "warmup", "top_beta", "adaptive", "rescale", "private", "bottom_betas", "gammas", )

    def __init__(
        self,
        *,
        latent: int = 20,
        message: int = 10,
        dropout: float = 0.0,
        warmup: int = 20,
        top_beta: float = 1.0,
        adaptive: Any = None,
        rescale: str = "none",
        private: Any = None,
        bottom_betas: Any = None,
        gammas: Any = None,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.message = message
        self.dropout = dropout
        self.warmup = warmup
        self.top_beta = top_beta
        self.adaptive = adaptive
        self.rescale = rescale
        self.private = private
        self.bottom_betas = bottom_betas
        self.gammas = gammas
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MHVAE(Model):
    """MHVAE: Hierarchical, one product of experts per level (Dorent et al. 2023).

    Parameters
    ----------
    latent
        Features of the top level of the default networks, at least 1; 64 if not said
    levels
        Levels of the hierarchy, 1 to 16; 3 if not said
    beta
        Weight of all divergences, at least 0; 1.0 if not said
    warmup
        Epochs over which the weight of the divergences grows from 0 to `beta`; 0 for none. Without
        it the upper levels are soon given up; 10 if not said
    free_bits
        Nats that the divergence of a level counts as at least, in each row and set; 0 for none.
        Without them a level between others stays at its prior; 2.0 if not said
    adversarial
        Weight of the adversarial term, at least 0; 0 for none, and no critics; 0.0 if not said
    adversarial_after
        Epochs before the adversarial term, in which critics do not learn either; 100 if not said
    critic_rate
        What the learning rate of critics is multiplied by, above 0; 0.1 if not said
    critics
        Critics by modality, from its values to one value, or to one a patch; what is not given
        suits the shape; {} if not said
    subsets
        Sets that the objective is a mean over: empty for all; or { sampled = n } for n of all,
        drawn for each batch, where all are too many; [] if not said
    shared_posterior
        Whether the default networks have one posterior block a level for all modalities, or one for
        each; true if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mhvae"
    _keys = ("latent", "levels", "beta", "warmup", "free_bits", "adversarial", "adversarial_after", "critic_rate", "critics", "subsets", "shared_posterior", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 64,
        levels: int = 3,
        beta: float = 1.0,
        warmup: int = 10,
        free_bits: float = 2.0,
        adversarial: float = 0.0,
        adversarial_after: int = 100,
        critic_rate: float = 0.1,
        critics: Any = None,
        subsets: Any = None,
        shared_posterior: bool = True,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.levels = levels
        self.beta = beta
        self.warmup = warmup
        self.free_bits = free_bits
        self.adversarial = adversarial
        self.adversarial_after = adversarial_after
        self.critic_rate = critic_rate
        self.critics = critics
        self.subsets = subsets
        self.shared_posterior = shared_posterior
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class CVAE(Model):
    """CVAE: Conditional: one modality given all others (Sohn et al. 2015).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    conditioning
        All other modalities, in the order in which the decoder reads them; empty for that of the
        data; [] if not said
    joint_encoder
        The encoder of all modalities; what is not given follows the encoders of the modalities; {}
        if not said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "cvae"
    _keys = ("latent", "beta", "conditioning", "joint_encoder", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        conditioning: Any = None,
        joint_encoder: Any = None,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.conditioning = conditioning
        self.joint_encoder = joint_encoder
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class GPoE(Model):
    """gPoE: Product of experts with learned powers (Lawry Aguila et al. 2023).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    beta_private
        Further weight of the divergences of private spaces, at least 0; 1.0 if not said
    powers
        What holds the powers of the experts: "normalised" if they add up to 1 over what a row
        observes, "free" if each is between 0 and 1; "normalised" if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "gpoe"
    _keys = ("latent", "beta", "beta_private", "powers", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        beta_private: float = 1.0,
        powers: str = "normalised",
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.beta_private = beta_private
        self.powers = powers
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MEMVAE(Model):
    """me-MVAE: Product of experts with a bound for each modality (Wu and Goodman 2018).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    beta_single
        Further weight of the divergences of single modalities, at least 0; 1.0 if not said
    warmup
        Epochs over which the weight of the divergences grows from 0 to `beta`; 0 for none; 0 if not
        said
    prior_expert
        Whether the prior is an expert of the product; false if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "me_mvae"
    _keys = ("latent", "beta", "beta_single", "warmup", "prior_expert", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        beta_single: float = 1.0,
        warmup: int = 0,
        prior_expert: bool = False,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.beta_single = beta_single
        self.warmup = warmup
        self.prior_expert = prior_expert
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class WeightedDMVAE(Model):
    """Weighted DMVAE: Shared and private spaces, joined with learned powers (after Lee and Pavlovic 2021).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of the divergences of shared posteriors from the prior, at least 0; 1.0 if not said
    powers
        What holds the powers of the experts: "normalised" if they add up to 1 over what a row
        observes, "free" if each is between 0 and 1; "normalised" if not said
    private
        Features of private spaces by modality, 4 for one that is not named; 0 for none; {} if not
        said
    private_betas
        Weights of the private divergences by modality, at least 0; 1 for one that is not named; {}
        if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "weighted_dmvae"
    _keys = ("latent", "beta", "powers", "private", "private_betas", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        powers: str = "normalised",
        private: Any = None,
        private_betas: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.powers = powers
        self.private = private
        self.private_betas = private_betas
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MMJSD(Model):
    """mmJSD: Mixture of experts that approaches a dynamic prior (Sutter et al. 2020).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    alpha
        Weight of the Jensen-Shannon divergence, at least 0; 1.0 if not said
    beta
        Weight of the divergences of private spaces from their prior, at least 0; 1.0 if not said
    prior_expert
        Whether the prior is one of the distributions that are to agree; true if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mmjsd"
    _keys = ("latent", "alpha", "beta", "prior_expert", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        alpha: float = 1.0,
        beta: float = 1.0,
        prior_expert: bool = True,
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.alpha = alpha
        self.beta = beta
        self.prior_expert = prior_expert
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class DVCCA(Model):
    """DVCCA: One modality encodes what all share (Wang et al. 2016).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "dvcca"
    _keys = ("latent", "beta", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MCVAE(Model):
    """mcVAE: Coordinated channels, sparse on request (Antelmi et al. 2019).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergences from the prior, at least 0; 1.0 if not said
    sparse
        Whether features learn dropout rates, by which those that are not needed are told; false if
        not said
    threshold
        Dropout rate from which encoded values of a feature are 0, above 0; 1 keeps them all. Only a
        sparse model has rates; 1.0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mcvae"
    _keys = ("latent", "beta", "sparse", "threshold", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        sparse: bool = False,
        threshold: float = 1.0,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.sparse = sparse
        self.threshold = threshold
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class AE(Model):
    """AE: Autoencoders whose codes all decoders read (Lawry Aguila et al. 2023).

    Parameters
    ----------
    latent
        Features of a code, at least 1; 20 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "ae"
    _keys = ("latent", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MAAE(Model):
    """mAAE: Autoencoders whose codes a critic holds to the prior (Makhzani et al. 2015).

    Parameters
    ----------
    latent
        Features of a code, at least 1; 20 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "maae"
    _keys = ("latent", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MWAE(Model):
    """mWAE: Autoencoders with a Wasserstein critic (Tolstikhin et al. 2018).

    Parameters
    ----------
    latent
        Features of a code, at least 1; 20 if not said
    critic_steps
        Steps of the critic a batch, at least 1; 1 if not said
    clip
        How far from zero weights of the critic may be, above 0; 0.01 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mwae"
    _keys = ("latent", "critic_steps", "clip", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        critic_steps: int = 1,
        clip: float = 0.01,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.critic_steps = critic_steps
        self.clip = clip
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class JointAAE(Model):
    """Joint AAE: One code for all modalities, held to the prior by a critic (Makhzani et al. 2015).

    Parameters
    ----------
    latent
        Features of a code, at least 1; 20 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "joint_aae"
    _keys = ("latent", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class DCCAE(Model):
    """DCCAE: Autoencoders with correlated codes (Wang et al. 2015).

    Parameters
    ----------
    latent
        Features of a code, at least 1; all codes together have fewer than a batch has rows; 10 if
        not said
    lambda_
        Weight of the reconstructions, at least 0; 1.0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "dccae"
    _keys = ("latent", "lambda_", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 10,
        lambda_: float = 1.0,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.lambda_ = lambda_
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class DCCAEY(Model):
    """DCCA-EY: Encoders with correlated codes, without an eigenproblem (Chapman et al. 2024).

    Parameters
    ----------
    latent
        Features of a code, at least 1; 20 if not said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "dcca_ey"
    _keys = ("latent", )

    def __init__(
        self,
        *,
        latent: int = 20,
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MMVM(Model):
    """MMVM: Unimodal posteriors whose mixture is their prior (Sutter et al. 2024).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergences, at least 0; 1.0 if not said
    warmup
        Epochs over which the prior turns from the standard normal to the mixture; 0 for none; 10 if
        not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mmvm"
    _keys = ("latent", "beta", "warmup", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        warmup: int = 10,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.warmup = warmup
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class WBVAE(Model):
    """WB-VAE: Wasserstein barycentre of experts (Qiu et al. 2025).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "wb_vae"
    _keys = ("latent", "beta", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class HELVAE(Model):
    """HELVAE: Hellinger pooling of experts (Vo and Valera 2026).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "helvae"
    _keys = ("latent", "beta", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class CoDEVAE(Model):
    """CoDE-VAE: Experts whose errors are correlated, over all subsets (Mancisidor et al. 2025).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergences from the prior, at least 0; 5.0 if not said
    correlation
        Correlation of the errors of experts, at least 0 and below 1; 0.5 if not said
    entropy
        Weight of the entropy of the weights of subsets, at least 0; 1000.0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "code_vae"
    _keys = ("latent", "beta", "correlation", "entropy", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 5.0,
        correlation: float = 0.5,
        entropy: float = 1000.0,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.correlation = correlation
        self.entropy = entropy
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MWBVAE(Model):
    """MWB-VAE: Mixture of Wasserstein barycentres over subsets (Qiu et al. 2025).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    subsets
        Components of the mixture: a list of lists of modality names; empty for all subsets; or {
        sampled = n } for n of all subsets, drawn for each row in each step, where all are too many;
        [] if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mwb_vae"
    _keys = ("latent", "beta", "subsets", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        subsets: Any = None,
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.subsets = subsets
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MoHELVAE(Model):
    """MoHELVAE: Mixture of Hellinger pools over subsets (Vo and Valera 2026).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    subsets
        Components of the mixture: a list of lists of modality names; empty for all subsets; or {
        sampled = n } for n of all subsets, drawn for each row in each step, where all are too many;
        [] if not said
    private
        Features of private spaces by modality; a modality that is not named has none; {} if not
        said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mohelvae"
    _keys = ("latent", "beta", "subsets", "private", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        subsets: Any = None,
        private: Any = None,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.subsets = subsets
        self.private = private
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class SparseMVAE(Model):
    """Sparse MVAE: Product of experts with sparse latents (Wu and Goodman 2018, Molchanov et al. 2017).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    warmup
        Epochs over which the weight of the divergence grows from 0 to `beta`; 0 for none; 0 if not
        said
    threshold
        Dropout rate from which encoded values of a feature are 0, above 0; 1 keeps them all; 1.0 if
        not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "sparse_mvae"
    _keys = ("latent", "beta", "warmup", "threshold", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        beta: float = 1.0,
        warmup: int = 0,
        threshold: float = 1.0,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.warmup = warmup
        self.threshold = threshold
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MMVAEPlusPlus(Model):
    """MMVAE++: Mixture of experts that learn what they share from each other (Märtens and Yau 2023).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    private
        Features of the private space of each modality, at least 1; 10 if not said
    beta
        Weight of all divergences from the prior, at least 0; 1.0 if not said
    warmup
        Epochs over which that weight grows from 0 to `beta`; 0 for none; 0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mmvae_plus_plus"
    _keys = ("latent", "private", "beta", "warmup", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        private: int = 10,
        beta: float = 1.0,
        warmup: int = 0,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.private = private
        self.beta = beta
        self.warmup = warmup
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MaskedVAE(Model):
    """Masked VAE: Summed features, a bound over what is given and what is not (Hirt et al. 2024).

    Parameters
    ----------
    latent
        Features of the latent space, at least 1; 20 if not said
    features
        Features of a modality that are added up, at least 1; 64 if not said
    beta
        Weight of the divergences, at least 0; 1.0 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "masked_vae"
    _keys = ("latent", "features", "beta", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        features: int = 64,
        beta: float = 1.0,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.features = features
        self.beta = beta
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MMHVAE(Model):
    """MMHVAE: Hierarchical, from a reference modality and sets of the others (Dorent et al. 2025).

    Parameters
    ----------
    latent
        Features of the top level of the default networks, at least 1; 64 if not said
    levels
        Levels of the hierarchy, 1 to 16; 3 if not said
    beta
        Weight of all divergences, at least 0; 1.0 if not said
    warmup
        Epochs over which the weight of the divergences grows from 0 to `beta`; 0 for none; 50 if
        not said
    free_bits
        Nats that the divergence of a level counts as at least, in each row and set; 0 for none; 2.0
        if not said
    adversarial
        Weight of the adversarial term, at least 0; 0 for none, and no critics; 0.1 if not said
    adversarial_after
        Epochs before the adversarial term, in which critics do not learn either; 800 if not said
    critic_rate
        What the learning rate of critics is multiplied by, above 0; 0.1 if not said
    critics
        Critics by modality, from its values to one value, or to one a patch; what is not given
        suits the shape; {} if not said
    shared_posterior
        Whether the default networks have one posterior block a level for all modalities, or one for
        each; true if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mmhvae"
    _keys = ("latent", "levels", "beta", "warmup", "free_bits", "adversarial", "adversarial_after", "critic_rate", "critics", "shared_posterior", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 64,
        levels: int = 3,
        beta: float = 1.0,
        warmup: int = 50,
        free_bits: float = 2.0,
        adversarial: float = 0.1,
        adversarial_after: int = 800,
        critic_rate: float = 0.1,
        critics: Any = None,
        shared_posterior: bool = True,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.levels = levels
        self.beta = beta
        self.warmup = warmup
        self.free_bits = free_bits
        self.adversarial = adversarial
        self.adversarial_after = adversarial_after
        self.critic_rate = critic_rate
        self.critics = critics
        self.shared_posterior = shared_posterior
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MVP(Model):
    """MVP.

    Mixture of experts with private codes, whose priors are learned mixtures (SIAM J. Imaging Sci.
    2025).

    Parameters
    ----------
    latent
        Features of the shared latent space, at least 1; 20 if not said
    private
        Features of the private space of each modality, at least 1; 10 if not said
    features
        Features of a modality from which its private code is read, at least 1; 64 if not said
    components
        Components of the prior of the shared space, at least 1; 20 if not said
    pseudo_features
        Pseudo-features of a modality, at least 1: the components of the prior of its private space;
        50 if not said
    surrogate
        Where the private code of a modality comes from that is decoded from another: "nearest" for
        the pseudo-feature that is nearest to its own features, { weighted = τ } for the mean of all
        by their distances; "nearest" if not said
    beta
        Weight of the divergence from the prior, at least 0; 1.0 if not said
    samples
        Importance samples a source and row, at least 1; 10 if not said
    family
        Family of priors and posteriors: "normal", "normal_softplus" or "laplace_softmax";
        "laplace_softmax" if not said
    estimator
        How gradients are estimated: "iwae" or "dreg"; "dreg" if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mvp"
    _keys = ("latent", "private", "features", "components", "pseudo_features", "surrogate", "beta", "samples", "family", "estimator", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        private: int = 10,
        features: int = 64,
        components: int = 20,
        pseudo_features: int = 50,
        surrogate: str = "nearest",
        beta: float = 1.0,
        samples: int = 10,
        family: str = "laplace_softmax",
        estimator: str = "dreg",
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.private = private
        self.features = features
        self.components = components
        self.pseudo_features = pseudo_features
        self.surrogate = surrogate
        self.beta = beta
        self.samples = samples
        self.family = family
        self.estimator = estimator
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose


class MLD(Model):
    """MLD: Autoencoders, then a diffusion of all their codes (Bounoua et al. 2024).

    Parameters
    ----------
    latent
        Features of the code of a modality, at least 1. The latent space has as many for each; 20 if
        not said
    autoencoder_epochs
        Epochs of the first stage, at least 1: the autoencoders. The denoising network learns in the
        rest of the run; 10 if not said
    autoencoders
        What the first stage learns: "deterministic" or "variational" autoencoders; "deterministic"
        if not said
    beta
        Weight of the divergence of a variational autoencoder from the prior, at least 0; 1.0 if not
        said
    given
        Share of the rows that keep the codes of some modalities while the others are diffused, 0 to
        1; 0.2 if not said
    steps
        Steps of the flow from noise to codes, at least 1; 50 if not said
    width
        Features between the parts of the denoising network, at least 1; 256 if not said
    rescale
        Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }; "none" if not
        said
    encoder
        network from values to the posterior, of all modalities or a mapping by name; see `nn`
    decoder
        network from latent values to a likelihood, likewise
    likelihoods
        likelihood of all modalities or a mapping by name, as `"negative_binomial"` or `{"kind":
        "laplace", "scale": 0.75}`; what is not said follows from the data
    epochs
        epochs of the whole run
    batch_size
        rows of a batch; the program's default if not said
    learning_rate
        of the optimiser; the program's default if not said
    seed
        what first weights, order of rows and noise derive from
    valid
        share of the rows by which the best epoch is chosen
    test
        share of the rows that is kept for `evaluate()`
    standardise
        `"auto"` (tables yes, images no) or `"none"`
    settings
        any other key of the configuration, as `{"train.clip.max": 1.0}`
    device
        where it is trained and used; `devices()` lists them
    out
        folder of the run, which must be new; a temporary one if not said
    verbose
        whether it is shown how the training goes
    """

    _name = "mld"
    _keys = ("latent", "autoencoder_epochs", "autoencoders", "beta", "given", "steps", "width", "rescale", )

    def __init__(
        self,
        *,
        latent: int = 20,
        autoencoder_epochs: int = 10,
        autoencoders: str = "deterministic",
        beta: float = 1.0,
        given: float = 0.2,
        steps: int = 50,
        width: int = 256,
        rescale: str = "none",
        encoder: Any = None,
        decoder: Any = None,
        likelihoods: Any = None,
        epochs: int = 30,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        valid: float = 0.1,
        test: float = 0.0,
        standardise: str = "auto",
        settings: dict[str, Any] | None = None,
        device: str | None = None,
        out: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.autoencoder_epochs = autoencoder_epochs
        self.autoencoders = autoencoders
        self.beta = beta
        self.given = given
        self.steps = steps
        self.width = width
        self.rescale = rescale
        self.encoder = encoder
        self.decoder = decoder
        self.likelihoods = likelihoods
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.valid = valid
        self.test = test
        self.standardise = standardise
        self.settings = settings
        self.device = device
        self.out = out
        self.verbose = verbose
