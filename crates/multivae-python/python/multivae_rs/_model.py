"""What all models have in common."""

from __future__ import annotations

import inspect
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _native, nn
from ._data import ONLY, Form, Held, hold
from ._results import Imputed, Report, Rows, Shape, Told, imputed, not_fitted, rows

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Model", "load", "pull"]

#: Classes by the name of their model; filled as they are defined.
CLASSES: dict[str, type[Model]] = {}

#: Settings that all models have, by their keys in a configuration.
COMMON = {
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "learning_rate": "train.optimizer.learning_rate",
    "seed": "train.seed",
    "valid": "data.split.valid",
    "test": "data.split.test",
    "standardise": "data.standardise",
}

Callback = Callable[[dict[str, Any]], Any]


class Model:
    """A multimodal variational autoencoder.

    Follows the conventions of scikit-learn's estimators. Attributes whose names end with an
    underscore are there after :meth:`fit`.
    """

    _name: str
    #: Settings of the model itself.
    _keys: tuple[str, ...] = ()

    # Settings that all models have.
    encoder: Any
    decoder: Any
    likelihoods: Any
    epochs: int
    batch_size: int | None
    learning_rate: float | None
    seed: int
    valid: float
    test: float
    standardise: str
    settings: dict[str, Any] | None
    device: str | None
    out: str | None
    verbose: bool

    #: Shape and likelihood of each modality by its name.
    modalities_: dict[str, dict[str, Any]]
    #: What the callback of :meth:`fit` has heard of every epoch.
    history_: list[dict[str, Any]]
    #: Whether the callback has ended the training.
    stopped_: bool
    #: How many parameters the model has.
    n_parameters_: int
    #: How many values a row has.
    n_features_in_: int
    #: Names of the columns of a table of pandas that was given alone.
    feature_names_in_: NDArray[Any]

    _run: Any = None
    _held: Held | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_name" in cls.__dict__:
            CLASSES.setdefault(cls._name, cls)

    # Settings.

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.name != "self"}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings."""
        return {name: getattr(self, name) for name in sorted(self._defaults())}

    def set_params(self, **params: Any) -> Self:
        """Changes settings, which take effect with the next :meth:`fit`."""
        known = self._defaults()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"invalid parameter {name!r} for {type(self).__name__}: expected one of {', '.join(sorted(known))}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = self._defaults()
        said = {name: value for name, value in self.get_params().items() if not _same(value, defaults[name])}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items())})"

    def _words(self, modalities: Sequence[str] | None) -> list[str]:
        """The settings as arguments of the program."""
        defaults = self._defaults()
        said: dict[str, Any] = {}
        for name in self._keys:
            value = nn.config(getattr(self, name))
            if not _same(value, defaults[name]):
                said[f"model.{name.rstrip('_')}"] = value
        for name, key in COMMON.items():
            value = getattr(self, name)
            if value is not None:
                said[key] = value
        parts = self._parts(modalities)
        if parts:
            said["model.modalities"] = parts
        said.update(self.settings or {})
        words = []
        for key, value in said.items():
            words += ["--set", f"{key}={_toml(key, nn.config(value))}"]
        return words

    def _parts(self, modalities: Sequence[str] | None) -> list[dict[str, Any]]:
        """Networks and likelihoods by modality."""
        given = {
            "encoder": (getattr(self, "encoder", None), nn.encoder),
            "decoder": (getattr(self, "decoder", None), nn.decoder),
            "likelihood": (self.likelihoods, _likelihood),
        }
        parts: dict[str, dict[str, Any]] = {}
        for key, (value, convert) in given.items():
            if value is None:
                continue
            if not isinstance(value, Mapping) or "kind" in value:
                if modalities is None:
                    raise ValueError(f"`{key}`: expected one for each modality by its name, since a path does not name them")
                value = {name: value for name in modalities}
            for name, item in value.items():
                if modalities is not None and name not in modalities:
                    raise ValueError(f"`{key}`: unknown modality {name!r}: expected one of {', '.join(modalities)}")
                parts.setdefault(name, {"name": name})[key] = convert(item)
        if not parts:
            return []
        # A configuration names all modalities or none.
        names = modalities if modalities is not None else list(parts)
        return [parts.get(name, {"name": name}) for name in names]

    # Training.

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        modalities: Mapping[str, Any] | None = None,
        callback: Callback | None = None,
        resume: bool = False,
    ) -> Self:
        """Trains the model.

        Parameters
        ----------
        X
            Rows of several modalities: a mapping from names to arrays ``[rows, ..]`` of numbers, tables
            of pandas, polars or Arrow, sparse matrices or AnnData; MuData; AnnData, one array or one
            table, whose parts `modalities` names; or the path or name of data as the program takes it.
            NaN is a missing value, a row of NaN a missing modality. Rows are matched by the index of
            tables of pandas and of AnnData if all modalities have one, else by their place.

            Arrays in single precision whose rows lie one after the other and that take more than 64 MiB
            are not copied, and must not be changed while the model is used; other arrays are copied
            once, tables into columns.
        y
            A class for each row, by which coherence is measured and nothing is learned; a series of
            pandas is matched by its index.
        modalities
            Of one array or table the columns of each modality, as a slice or a list of places or names;
            of AnnData and MuData where the values of each lie: ``"X"``, ``"layers/NAME"``,
            ``"obsm/NAME"``, ``"obs"`` or ``"raw"``. Holds for later arrays and tables too.
        callback
            Is called with a dict after every epoch: ``epoch``, ``epochs``, ``train`` and ``valid`` (terms
            of the objective in nats, averaged over rows), ``learning_rate``, ``best``, ``seconds``. If it
            gives ``True`` the training ends there.
        resume
            Goes on with a run that was interrupted, on the same data, to `epochs`.

        Returns
        -------
        The model itself, with the weights of its best epoch.

        Raises
        ------
        ValueError, TypeError
            For settings and data that cannot be used, with modality, row and column.
        KeyboardInterrupt
            After the step at work; ``fit(X, resume=True)`` goes on from the last whole epoch.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"`callback`: expected what can be called, found {callback!r}")
        lock = self.__dict__.setdefault("_lock", threading.Lock())
        if not lock.acquire(blocking=False):
            raise RuntimeError("this model is being fitted already, by another thread or around this call")
        try:
            if not resume:
                self.__dict__["_told"] = set()
            with self._telling():
                self._fit(X, y, modalities, callback, resume)
        finally:
            lock.release()
        return self

    def _fit(self, X: Any, y: Any, modalities: Any, callback: Callback | None, resume: bool) -> None:
        if resume and modalities is None:
            modalities = self._places(X)
        held = hold(X, y, modalities)
        if held.rows == 1 and self.valid != 0:
            raise ValueError("data: expected at least 2 rows, some to learn from and some to validate, found 1 sample")
        if resume:
            folder = self.__dict__.get("_folder")
            if folder is None or not Path(folder).is_dir():
                raise not_fitted("there is no run to resume: call `fit` without `resume`")
            words = ["--resume", folder, "--data", held.source]
            if self.epochs is not None:
                words += ["--epochs", str(self.epochs)]
        else:
            names = list(held.forms) or None
            folder = self._new_folder()
            words = ["--model", self._name, "--data", held.source, "--out", folder, *self._words(names)]
            self.history_ = []
            self.__dict__.pop("_run", None)
        if self.device is not None:
            words += ["--device", str(self.device)]
        heard = _Heard(self.history_, callback, self.verbose)
        try:
            _, interrupted = _native.train(words, heard)
        finally:
            heard.close()
        self._held = held
        self._modalities = modalities
        self._take(_native.Run.open(folder, self.device), held)
        self.stopped_ = interrupted

    def _new_folder(self) -> str:
        if self.out is not None:
            folder = os.fspath(self.out)
            if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
                raise FileExistsError(
                    f"`out`: `{folder}` is there already: choose another folder, or go on with it by "
                    "`load(folder).fit(X, resume=True)`"
                )
            self.__dict__["_folder"] = folder
        else:
            # It goes with the model.
            place = _Place()
            self.__dict__["_place"] = place
            self.__dict__["_folder"] = os.path.join(place.name, "run")
        return str(self.__dict__["_folder"])

    def _take(self, run: Any, held: Held | None = None) -> None:
        self._run = run
        self.modalities_ = {name: {"shape": tuple(shape), "likelihood": kind} for name, shape, kind in run.modalities}
        self.n_features_in_ = sum(math.prod(part["shape"]) for part in self.modalities_.values())
        self.n_parameters_ = run.parameters
        self.__dict__.pop("_spaces", None)
        if held is None:
            return
        self._forms = dict(held.forms)
        self._width = held.width
        if held.width is not None:
            self.n_features_in_ = held.width
        self.__dict__.pop("feature_names_in_", None)
        if held.names is not None:
            self.feature_names_in_ = np.asarray(held.names, dtype=object)

    def fit_transform(self, X: Any, y: Any = None, **fit: Any) -> Any:
        """:meth:`fit`, and then :meth:`transform` of the same rows."""
        self.fit(X, y, **fit)
        with self._telling() as told:
            # The same data in memory, not a second time.
            held = self._held if self._held is not None and self._held.forms else self._rows(X)
            return self._contained(self._latents(held, told), held)

    @property
    def _is_fitted(self) -> bool:
        return self._run is not None

    def __sklearn_is_fitted__(self) -> bool:
        return self._is_fitted

    def _ready(self) -> Any:
        run = self._run
        if run is None:
            lock = self.__dict__.get("_lock")
            if lock is not None and lock.locked():
                raise RuntimeError("this model is being fitted: it can be used when that has ended")
            raise not_fitted(f"this {type(self).__name__} is not fitted yet: call `fit` before it is used")
        return run

    # What a trained model is asked for.

    def _telling(self) -> Told:
        """Passes on what is found about data; the same only once."""
        return Told(self.__dict__.get("_told"))

    def _places(self, X: Any) -> Any:
        """Where the modalities lie in data like that of the training."""
        known = self.__dict__.get("_modalities")
        if known is None or isinstance(X, (str, os.PathLike)) or (isinstance(X, Mapping) and not hasattr(X, "tocsr")):
            return None
        return known

    def _rows(self, X: Any, modalities: Mapping[str, Any] | None = None) -> Held:
        if isinstance(X, Held):
            return X
        held = hold(X, None, self._places(X) if modalities is None else modalities)
        width = self.__dict__.get("_width")
        if None not in (held.width, width) and held.width != width and held.names is None:
            raise ValueError(
                f"X has {held.width} features, but {type(self).__name__} is expecting {width} features as input"
            )
        return held

    def _shape(self, held: Held | None = None) -> Shape:
        """How results are given: as the data of the training, or else as this data."""
        trained = self.__dict__.get("_forms", {})
        if held is None:
            return Shape(trained)
        forms = {**trained, **held.forms}
        kinds = {form.kind for form in held.forms.values()}
        return Shape(forms, held.index, kinds.pop() if len(kinds) == 1 else "array")

    def encode(
        self,
        X: Any,
        given: str | Sequence[str] | None = None,
        *,
        samples: int | None = None,
        seed: int = 0,
        batch_size: int = 256,
        modalities: Mapping[str, Any] | None = None,
        missing_columns: str = "refuse",
    ) -> Rows:
        """Latent values of rows by latent space: ``[rows, latent]``, or ``[samples, rows, latent]``.

        Means of the posterior given what each row observes of `given` (all modalities if not said), or
        so many samples of it.
        """
        run = self._ready()
        with self._telling() as told:
            held = self._rows(X, modalities)
            output = run.encode(
                held.source,
                given=_names(given),
                samples=_some("samples", samples, 1),
                seed=_count("seed", seed, 0),
                batch_size=_count("batch_size", batch_size, 1),
                mask_columns=_mask(missing_columns),
            )
            told.notes += output["notes"]
        return rows(output, Shape())

    def transform(
        self,
        X: Any,
        given: str | Sequence[str] | None = None,
        *,
        batch_size: int = 256,
        modalities: Mapping[str, Any] | None = None,
        missing_columns: str = "refuse",
    ) -> Any:
        """Latent values of rows, ``[rows, latent]``: means of the posterior, all spaces side by side.

        Rows are in the order of the first modality. If others have rows beyond those, :meth:`encode`
        gives them with their identifiers. An array, or what :meth:`set_output` has asked for.
        """
        self._ready()
        with self._telling() as told:
            held = self._rows(X, modalities)
            latents = self._latents(held, told, given=given, batch_size=batch_size, missing_columns=missing_columns)
            return self._contained(latents, held)

    def _latents(self, held: Held, told: Told, **how: Any) -> NDArray[Any]:
        latent = self.encode(held, **how)
        values = np.concatenate([latent[space] for space in latent], axis=1)
        if held.ids is None or latent.ids == held.ids:
            return values
        places = {name: place for place, name in enumerate(latent.ids)}
        beyond = len(places) - len(held.ids)
        if beyond > 0:
            told.notes.append(
                f"{beyond} rows that the first modality does not have are left out; `encode` gives them with their "
                "identifiers"
            )
        return values[[places[name] for name in held.ids]]

    def set_output(self, *, transform: str | None = None) -> Self:
        """In what :meth:`transform` gives latent values: ``"default"`` (an array), ``"pandas"`` or ``"polars"``."""
        if transform is not None:
            if transform not in ("default", "pandas", "polars"):
                raise ValueError(f"`transform`: expected 'default', 'pandas' or 'polars', found {transform!r}")
            self._sklearn_output_config = {"transform": transform}
        return self

    def _contained(self, values: NDArray[Any], held: Held) -> Any:
        """Latent values in what was asked for, by this model or for all of scikit-learn."""
        kind = self.__dict__.get("_sklearn_output_config", {}).get("transform")
        sklearn = sys.modules.get("sklearn")
        if kind is None and sklearn is not None:
            kind = sklearn.get_config().get("transform_output")
        if kind == "pandas":
            import pandas

            index = held.index if held.index is not None and len(held.index) == len(values) else held.ids
            return pandas.DataFrame(values, index=index, columns=self.get_feature_names_out())
        if kind == "polars":
            import polars

            return polars.DataFrame(values, schema=list(self.get_feature_names_out()), orient="row")
        return values

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns that :meth:`transform` gives: the latent space and a number."""
        run = self._ready()
        if input_features is not None and len(input_features) != self.n_features_in_:
            raise ValueError(
                f"input_features should have length equal to number of features ({self.n_features_in_}), "
                f"got {len(input_features)}"
            )
        names = self.__dict__.get("feature_names_in_")
        if input_features is not None and names is not None and list(input_features) != list(names):
            raise ValueError("input_features is not equal to feature_names_in_")
        spaces = getattr(run, "spaces", None)
        if spaces is None:
            held = hold({name: np.zeros((1, *part["shape"]), np.float32) for name, part in self.modalities_.items()})
            output = run.encode(held.source, given=None, samples=None, seed=0, batch_size=1, mask_columns=True)
            # They are about the row that is made here.
            _native.take_warnings()
            spaces = [(part["name"], part["values"].shape[1]) for part in output["parts"]]
        return np.asarray([f"{space}_{place}" for space, width in spaces for place in range(width)], dtype=object)

    def embed(
        self,
        data: Any,
        key: str = "X_multivae",
        given: str | Sequence[str] | None = None,
        *,
        modalities: Mapping[str, Any] | None = None,
    ) -> Any:
        """Puts latent values, ``[rows, latent]``, into ``data.obsm[key]`` of AnnData or MuData, and gives it back.

        Rows that have none of the modalities are NaN.
        """
        if not hasattr(data, "obsm"):
            raise TypeError(f"`data`: expected AnnData or MuData, found {type(data).__name__}; `transform` gives an array")
        latent = self.encode(data, given, modalities=modalities)
        values = np.concatenate([latent[space] for space in latent], axis=1)
        places = {name: place for place, name in enumerate(latent.ids)}
        found = [places.get(str(name)) for name in data.obs_names]
        whole = np.full((len(found), values.shape[1]), np.nan, dtype=values.dtype)
        for row, place in enumerate(found):
            if place is not None:
                whole[row] = values[place]
        data.obsm[key] = whole
        return data

    def generate(
        self,
        X: Any,
        given: str | Sequence[str] | None = None,
        target: str | Sequence[str] | None = None,
        n: int | None = None,
        *,
        seed: int = 0,
        batch_size: int = 256,
        modalities: Mapping[str, Any] | None = None,
        missing_columns: str = "refuse",
    ) -> Any:
        """Modalities generated from others, in the units of the data: a mapping, or of one `target`
        that is named alone its values.

        ``[rows, ..]`` at the mean of the posterior given `given` (what `X` has if not said), or
        ``[n, rows, ..]`` at draws of it. Rows must observe all that is given.
        """
        run = self._ready()
        with self._telling() as told:
            held = self._rows(X, modalities)
            output = run.generate(
                held.source,
                given=_names(given),
                target=_names(target),
                samples=_some("n", n, 1),
                seed=_count("seed", seed, 0),
                batch_size=_count("batch_size", batch_size, 1),
                mask_columns=_mask(missing_columns),
            )
            told.notes += output["notes"]
        return _one(rows(output, Shape() if n is not None else self._shape(held)), target)

    def sample(self, n: int = 10, target: str | Sequence[str] | None = None, *, seed: int = 0, batch_size: int = 256) -> Any:
        """Rows decoded from samples of the prior, ``[n, ..]``, as :meth:`generate` gives them."""
        run = self._ready()
        with self._telling() as told:
            output = run.sample(
                _count("n", n, 1),
                target=_names(target),
                seed=_count("seed", seed, 0),
                batch_size=_count("batch_size", batch_size, 1),
            )
            told.notes += output["notes"]
        return _one(rows(output, self._shape()), target)

    def impute(
        self,
        X: Any,
        *,
        samples: int | None = None,
        seed: int = 0,
        batch_size: int = 256,
        modalities: Mapping[str, Any] | None = None,
        missing_columns: str = "refuse",
    ) -> Imputed:
        """All rows with every missing value and modality imputed from what the row observes.

        With `samples` each imputed value is the mean of so many draws, and ``std``, ``low`` and
        ``high`` of what is given back say how far these lie apart.
        """
        run = self._ready()
        with self._telling() as told:
            held = self._rows(X, modalities)
            output = run.impute(
                held.source,
                samples=_some("samples", samples, 2),
                seed=_count("seed", seed, 0),
                batch_size=_count("batch_size", batch_size, 1),
                mask_columns=_mask(missing_columns),
            )
            told.notes += output["notes"]
        return imputed(output, self._shape(held))

    def score(
        self,
        X: Any,
        y: Any = None,
        *,
        seed: int = 0,
        batch_size: int = 256,
        modalities: Mapping[str, Any] | None = None,
        missing_columns: str = "refuse",
    ) -> float:
        """The evidence lower bound of rows in nats, averaged over rows: larger is better."""
        run = self._ready()
        with self._telling():
            held = self._rows(X, modalities)
            found = run.score(
                held.source,
                seed=_count("seed", seed, 0),
                batch_size=_count("batch_size", batch_size, 1),
                mask_columns=_mask(missing_columns),
            )
        return float(json.loads(found)["elbo"]["mean"])

    def evaluate(
        self,
        X: Any = None,
        y: Any = None,
        metrics: str | Sequence[str] | None = "all",
        *,
        modalities: Mapping[str, Any] | None = None,
        rows: int | None = None,
        samples: int = 100,
        likelihood_rows: int = 100,
        likelihoods: str | Sequence[str] = ("joint", "marginal", "conditional"),
        classifiers: str | os.PathLike[str] | None = None,
        inception: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ) -> Report:
        """Measures how good the model is, by default all that can be measured.

        On rows that training has not seen: `X` with classes `y`, or the test rows of the run, of which
        there are some if `test` was set before :meth:`fit`. `rows` bounds how many are measured,
        `samples` are importance samples of likelihoods on `likelihood_rows` rows, of all modalities,
        which is always there, of single ones, and of each from every subset, which is most of the work.
        """
        self._ready()
        words = [self._on_disk(), "--metrics", ",".join(_names(metrics) or ["all"]), "--seed", str(_count("seed", seed, 0))]
        words += ["--samples", str(_count("samples", samples, 1))]
        words += ["--likelihood-rows", str(_count("likelihood_rows", likelihood_rows, 1))]
        words += ["--likelihoods", ",".join(_names(likelihoods) or ["joint"])]
        held = None if X is None else hold(X, y, self._places(X) if modalities is None else modalities)
        if held is not None:
            words += ["--data", held.source]
        if rows is not None:
            words += ["--rows", str(_count("rows", rows, 1))]
        for flag, path in [("--classifiers", classifiers), ("--inception", inception)]:
            if path is not None:
                words += [flag, os.fspath(path)]
        if self.device is not None:
            words += ["--device", str(self.device)]
        with self._telling():
            try:
                measures, page = _native.evaluate(words)
            except ValueError as error:
                raise ValueError(_evaluating(str(error), metrics, X is None)) from None
        return Report(json.loads(measures), page)

    # Files.

    @property
    def run_dir_(self) -> str:
        """The folder of the run, as the program leaves it."""
        self._ready()
        return self._on_disk()

    def _on_disk(self) -> str:
        folder = self.__dict__.get("_folder")
        if folder is not None and os.path.exists(folder):
            return str(folder)
        # A model that came as bytes, or whose folder has gone.
        place = _Place()
        folder = os.path.join(place.name, "run")
        self.__dict__["_place"] = place
        self.__dict__["_folder"] = folder
        self._run.export(folder)
        return folder

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the run as a folder, which must not exist: the program takes it, and :func:`load`."""
        self._ready()
        target = Path(path)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileExistsError(f"`{target}` is there already: choose another name")
        beside = target.with_name(f".{target.name}.{os.getpid()}.new")
        try:
            shutil.copytree(self._on_disk(), beside)
            os.replace(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Writes the bundle of the model as a new folder: weights with the names of PyTorch, a card."""
        self._ready().export(os.fspath(path))

    def push(self, name: str, *, public: bool = False) -> None:
        """Gives the model to others through the Hugging Face Hub, privately unless said."""
        self._ready()
        _native.task(["push", self._on_disk(), name, *(["--public"] if public else [])])

    def to_torch(self) -> dict[str, Any]:
        """The weights as tensors by the names that the Python library MultiVae has for them."""
        import torch

        return {name: torch.from_numpy(values) for name, values in self.state_dict().items()}

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """The weights as arrays by the names that the Python library MultiVae has for them."""
        weights: dict[str, NDArray[np.float32]] = self._ready().weights()
        return weights

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Takes weights by the names of :meth:`state_dict`, arrays or tensors; all must be there."""
        run = self._ready()
        arrays = {}
        for name, values in state.items():
            plain = values.detach().cpu().numpy() if hasattr(values, "detach") else values
            arrays[name] = np.ascontiguousarray(plain, dtype=np.float32)
        self._take(run.with_weights(arrays))
        # The folder holds the weights of before.
        self.__dict__.pop("_folder", None)
        return self

    from_torch = load_state_dict

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key not in _UNKEPT}
        if self._run is not None:
            state["_archive"] = self._run.archive()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        archive = state.pop("_archive", None)
        self.__dict__.update(state)
        if archive is not None:
            self._run = _native.Run.of_archive(bytes(archive), self.device)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(allow_nan=True, sparse=True),
        )


class _Place:
    """A temporary folder that is removed with what it belongs to, in the process that made it."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="multivae-")
        weakref.finalize(self, _remove, self.name, os.getpid())


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


#: What belongs to this process or this folder, and is not kept in a pickle.
_UNKEPT = ("_run", "_held", "_place", "_folder", "_lock")


class _Heard:
    """Keeps the history, shows how it goes, and calls back."""

    def __init__(self, history: list[dict[str, Any]], callback: Callback | None, verbose: bool):
        self.history, self.callback, self.verbose = history, callback, verbose
        self.bar: Any = None

    def __call__(self, kind: str, value: Any) -> bool:
        if kind == "started" and self.verbose:
            self.bar = _bar(value["epochs"], value["epochs_done"])
        elif kind == "epoch":
            # An epoch that was done before and is done again takes its place.
            while self.history and self.history[-1]["epoch"] >= value["epoch"]:
                self.history.pop()
            self.history.append(value)
            if self.verbose:
                self.show(value)
            if self.callback is not None:
                return self.callback(value) is True
        elif kind in ("line", "event") and self.verbose:
            self.say(value)
        return False

    def show(self, epoch: dict[str, Any]) -> None:
        losses = {name: epoch[name]["loss"] for name in ("train", "valid") if "loss" in epoch[name]}
        if self.bar is not None:
            self.bar.set_postfix(losses)
            self.bar.update(1)
        else:
            shown = "  ".join(f"{name} loss {value:.4f}" for name, value in losses.items())
            print(f"epoch {epoch['epoch']}/{epoch['epochs']}  {shown}", flush=True)

    def say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _bar(epochs: int, done: int) -> Any:
    """A bar of tqdm, if that is installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=epochs, initial=done, unit="epoch")


def _names(names: str | Sequence[str] | None) -> list[str] | None:
    if names is None:
        return None
    return [names] if isinstance(names, str) else list(names)


def _count(name: str, value: Any, least: int) -> int:
    """A whole number that is large enough."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}`: expected a whole number, found {value!r}")
    if value < least:
        raise ValueError(f"`{name}`: expected {least} or more, found {value}")
    return int(value)


def _some(name: str, value: Any, least: int) -> int | None:
    return None if value is None else _count(name, value, least)


def _one(values: Rows, target: Any) -> Any:
    return values[target] if isinstance(target, str) else values


def _evaluating(error: str, metrics: Any, own: bool) -> str:
    """What went wrong, in words of Python."""
    if "[possible values: " in error:
        known = error.partition("[possible values: ")[2].partition("]")[0]
        return f"`metrics`: expected some of {known}, found {metrics!r}"
    if own and error.endswith("has no rows"):
        return f"{error}: give rows and their classes as `X` and `y`, or set `test` before `fit`"
    return error


def _mask(missing_columns: str) -> bool:
    if missing_columns not in ("refuse", "mask"):
        raise ValueError(f"`missing_columns`: expected 'refuse' or 'mask', found {missing_columns!r}")
    return missing_columns == "mask"


def _likelihood(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _same(a: Any, b: Any) -> bool:
    try:
        return type(a) is type(b) and bool(a == b)
    except ValueError:
        return False


def _toml(key: str, value: Any) -> str:
    """A value as a configuration has it."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, np.ndarray):
        return _toml(key, value.tolist())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(key, item) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(str(name))} = {_toml(key, item)}" for name, item in value.items() if item is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, os.PathLike):
        return json.dumps(os.fspath(value))
    raise TypeError(f"`{key}`: expected a number, text, a truth value, or a list or mapping of these, found {value!r}")


def load(path: str | os.PathLike[str], device: str | None = None) -> Model:
    """A model that :meth:`Model.save` or the program has left: a run, a bundle, or an archive."""
    told: set[str] = set()
    with Told(told):
        run = _native.Run.open(os.fspath(path), device)
    model = _of(run)
    model.device = device
    model.__dict__["_folder"] = os.fspath(path)
    model.__dict__["_told"] = told
    return model


def pull(name: str, out: str | os.PathLike[str] | None = None, device: str | None = None) -> Model:
    """A model of the Hugging Face Hub, `owner/name` or `owner/name@revision`; `out` keeps its run."""
    place = None
    if out is None:
        place = _Place()
        out = os.path.join(place.name, "run")
    _native.task(["pull", name, "--out", os.fspath(out)])
    model = load(out, device)
    if place is not None:
        model.__dict__["_place"] = place
    return model


def _of(run: Any) -> Model:
    config = json.loads(run.config)
    settings = dict(config["model"])
    kind = CLASSES.get(settings.pop("name"))
    if kind is None:
        raise ValueError(f"the model `{config['model']['name']}` is not one of this version")
    own = {name.rstrip("_"): name for name in kind._keys}
    model = kind(**{own[key]: value for key, value in settings.items() if key in own})
    for name, key in COMMON.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            setattr(model, name, value)
    model.history_ = []
    model._take(run)
    return model


# The modality of one array is named so.
assert ONLY == "x"
