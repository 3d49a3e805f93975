"""Configuration: compose to plain values, and build objects of trusted packages from them."""

import inspect
import os
import pydoc
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from fovea.runtime.bounds import Seed, check, check_values
from fovea.runtime.command_line import TEXTS
from fovea.runtime.errors import did_you_mean, first_line, nearest
from fovea.runtime.help import config_folder as config_folder
from fovea.runtime.moved import CLASSES, refuse_old_keys

# A checkpoint brings its own configuration, so a stranger may have chosen its targets. These packages hold classes
# that build networks, losses, transforms and training parts, and do nothing else when called.
TRUSTED = (
    "albumentations.",
    "fovea.data.",
    "fovea.engine.callbacks.",
    "fovea.engine.loggers.",
    "fovea.engine.model.",
    "fovea.engine.schedules.",
    "fovea.importers.",
    "fovea.losses.",
    "fovea.metrics.",
    "fovea.models.",
    "fovea.prepare.labels.",
    "fovea.prepare.refiners.",
    "fovea.simulate.",
    "fovea.supervision.",
    "monai.losses.",
    "monai.networks.",
    "monai.transforms.",
    "pytorch_lightning.",
    "segmentation_models_pytorch.",
    "torch.nn.",
    "torch.optim.",
    "torchmetrics.",
)
# Of other packages only classes are called: some of their functions download or load files.
FUNCTIONS_ALLOWED = ("fovea.engine.schedules.", "fovea.engine.loggers.")

CHECKED = ("albumentations.", "fovea.", "pytorch_lightning.", "torch.optim.")

# A resumed run may change these: where it runs and what is logged, not what is learned.
FREE = (
    "callbacks.best",
    "callbacks.last",
    "callbacks.preemption",
    "callbacks.progress",
    "callbacks.rate",
    "ckpt_path",
    "compute",
    "data.cache",
    "data.maps",  # repeats other keys
    "data.num_workers",
    "evaluate",
    "logger",
    "run_dir",
    "sheet_rows",
    "sheet_tile",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
)


class NamedError(ValueError):
    """An error whose text begins with a configuration key: `instantiate` raises it inside another `instantiate`."""


def resolve(composed: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain values, with every interpolation resolved.

    A ValueError if a mandatory key (`???`) has no value, a key has an old name, or the seed is invalid.
    """
    # OmegaConf's own search for missing keys fails on an interpolation of one and names the interpolation.
    if missing := sorted(key for key, value in flat(plain(composed, resolve=False)) if value == "???"):
        raise ValueError(f"{missing[0]} has no value: add {missing[0]}=… to the command line")
    config = plain(composed, resolve=True)
    if numbers := [(key, value) for key, value in flat(config) if key in TEXTS and isinstance(value, int | float)]:
        raise ValueError(f"{numbers[0][0]} must be text, got {numbers[0][1]!r}; in YAML write it in quotes")
    refuse_old_keys(key for key, _ in flat(config))
    check_values({"seed": Seed}, config, "")
    return config


def plain(config: Any, resolve: bool) -> dict[str, Any]:
    """Return a mapping of OmegaConf as plain values."""
    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def path_of(config: Mapping[str, Any], key: str) -> Path:
    """Return the path of a key of the configuration; a ValueError if it is null."""
    if config[key] is None:
        raise ValueError(f"{key} must be a path, got null; set {key}=PATH")
    return Path(str(config[key])).expanduser()


def flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted key with its value, e.g. `optimizer.lr`, 0.01. A list or an empty mapping is a value."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def is_under(key: str, names: Iterable[str]) -> bool:
    """Return whether a dotted key is one of `names`, or below one of them."""
    return any(f"{key}.".startswith(f"{name}.") for name in names)


def is_default(key: str, value: Any) -> bool:
    """Return whether all of fovea's YAML files with this key have this value: an earlier version may lack the key."""
    group, folder = key.partition(".")[0], config_folder()
    places = [(folder / "train.yaml", ""), *((path, f"{group}.") for path in (folder / group).glob("*.yaml"))]
    read = [dict(flat(plain(OmegaConf.load(path), resolve=False), above)) for path, above in places]
    return any(key in content for content in read) and all(content.get(key, value) == value for content in read)


def instantiate(config: Mapping[str, Any], key: str = "", kind: type = object) -> Any:
    """Build what `config["_target_"]` names from plain values, nested targets first; `_partial_` makes a factory.

    `key` is that of `config`, for error messages. The environment variable `FOVEA_TRUSTED`, a comma-separated list,
    adds your own packages to the trusted ones. A ValueError, also by the factory, if a target does not exist, is not
    trusted, or rejects its arguments, or what was built is not of this kind.
    """
    target, partly = target_of(config, key), config.get("_partial_")
    check_targets(config, key)
    try:
        built = hydra_instantiate(dict(config), _convert_="all")
    except Exception as error:
        # Hydra wraps the error of a constructor in one of several lines.
        _reject(config, key, error.__cause__ or error)
    if kind is not object and (partly or not isinstance(built, kind)):
        fix = f"remove {key}._partial_" if partly else "derive it from that"
        raise ValueError(f"{key}: {target} is not a {kind.__module__}.{kind.__name__}; {fix}")
    if not partly:
        return built

    @wraps(built)  # its signature tells what it takes
    def factory(*args: Any, **kwargs: Any) -> Any:
        if ignored := [f"{key}.{name}".lstrip(".") for name in kwargs if name in config]:
            raise NamedError(f"{ignored[0]} cannot be chosen: fovea sets this argument; remove it: '~{ignored[0]}'")
        try:
            return built(*args, **kwargs)
        except Exception as error:
            _reject(config, key, error, kwargs)

    return factory


def target_of(config: Any, key: str) -> str:
    """Return the `_target_` of a configuration; a ValueError if it has none, e.g. by a slip in its YAML."""
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise ValueError(f"{key or 'the configuration'} has no _target_; write that of a class, e.g. my_lab.parts.Mine")
    return str(config["_target_"])


def check_targets(config: Mapping[str, Any], key: str = "") -> None:
    """Refuse targets as `locate` does, and, of fovea's and your classes, values that are out of their bounds.

    Arguments that they do not have are refused, too, but of packages beside yours and `CHECKED`: those may accept
    arguments that their signature does not show.
    """
    for place, target, values in targets(config, key):
        located = locate(target, f"{place}._target_" if place else "_target_")
        if not target.startswith((*CHECKED, *own_packages())):
            continue
        parameters = inspect.signature(located).parameters
        known = [name for name, each in parameters.items() if each.kind != each.VAR_KEYWORD]
        unknown = [name for name in values if name not in known and not name.startswith("_")]
        if unknown and len(known) == len(parameters):
            dotted = f"{place}." if place else ""
            hint = did_you_mean(wrong := unknown[0], known, dotted) or f"there are {', '.join(known)}; "
            removed = " ".join(f"'~{dotted}{name}'" for name in unknown)  # e.g. all that another choice had
            raise ValueError(f"{dotted}{wrong} is not an argument of {target}; {hint}or remove it: {removed}")
        if target.startswith(("fovea.", *own_packages())):
            check(located, values, place)


def _reject(config: Mapping[str, Any], key: str, reason: BaseException, given: Iterable[str] = ()) -> NoReturn:
    """Raise fovea's own errors and those of files as they are, others with the target's name.

    A factory was `given` some arguments when it was called, e.g. `backbone`. They have keys of their own.
    """
    target: str = config["_target_"]
    if isinstance(reason, OSError | NamedError):
        raise reason
    if isinstance(reason, ValueError) and target.startswith(("fovea.", *own_packages())):
        start = re.match(r"\w+", str(reason))
        argument = start[0] if start else ""
        if not key or argument in given or str(reason).startswith(f"{key}."):  # it names its key itself
            raise reason
        named = argument in inspect.signature(locate(target)).parameters or argument in config
        raise NamedError(f"{key}.{reason}" if named else f"{key}: {reason}") from reason
    kind, place = (NamedError, key) if key else (ValueError, target)
    if isinstance(reason.__cause__, ValidationError):  # of albumentations, with several lines
        first = reason.__cause__.errors()[0]
        raise kind(f"{place}.{first['loc'][0]}: {first['msg']}, got {first['input']!r}") from reason
    if isinstance(reason, ImportError):  # e.g. MONAI's OptionalImportError
        raise kind(f"{place}: {target} needs a package that is missing: {first_line(reason)}; install it") from reason
    raise kind(f"{place}: cannot build {target}: {type(reason).__name__}: {first_line(reason)}") from reason


def locate(target: str, key: str = "_target_") -> Any:
    """Import what `target` names and call nothing; a ValueError if it does not exist, has moved, or is not trusted."""
    package, own = target.partition(".")[0], own_packages()
    packages = ",".join([*(each.rstrip(".") for each in own), package])
    untrusted = f"{key}: {target} is not trusted; name a trusted class, or trust a package: FOVEA_TRUSTED={packages}"
    if target in CLASSES:
        raise ValueError(f"{key}: {target} is now {CLASSES[target]}; write that")
    if not target.startswith(TRUSTED + own):
        raise ValueError(untrusted)
    above, _, name = target.rpartition(".")
    try:
        if (located := pydoc.locate(target)) is None:
            module = pydoc.locate(above)
            near = nearest([name], dir(module)) if module else ""
            fix = "check it" if find_spec(package) else f"there is no package {package} on PYTHONPATH"
            raise ValueError(f"{key}: {target} does not exist{near}; {fix}")
    except pydoc.ErrorDuringImport as error:
        if not isinstance(cause := error.value, Exception):
            raise KeyboardInterrupt(str(cause)) from None  # in a module that takes seconds to import
        reason, fix = first_line(cause), "install it" if isinstance(cause, ImportError) else "correct it"
        raise ValueError(f"{key}: cannot import {error.filename} ({type(cause).__name__}: {reason}); {fix}") from cause
    # Without this, `fovea.some_module.os.system` would count as a part of fovea.
    home = f"{getattr(located, '__module__', None)}."
    function_allowed = home.startswith(FUNCTIONS_ALLOWED + own) and inspect.isfunction(located)
    if not home.startswith(TRUSTED + own) or not (inspect.isclass(located) or function_allowed):
        raise ValueError(untrusted)
    return located


def own_packages() -> tuple[str, ...]:
    """Return the packages that FOVEA_TRUSTED adds, each with a dot at its end."""
    packages = os.environ.get("FOVEA_TRUSTED", "").split(",")
    return tuple(f"{package.strip().rstrip('.')}." for package in packages if package.strip())


def targets(config: Any, key: str = "") -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield dotted key, target and mapping of every `_target_` that will be built, nested ones included."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield key, str(config["_target_"]), config
        if config.get("_recursive_", True):
            for name, value in config.items():
                yield from targets(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            yield from targets(value, f"{key}[{number}]")
