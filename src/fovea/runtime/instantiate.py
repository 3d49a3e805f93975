"""The one function that turns configuration into objects, and the list of what it may call."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hydra.utils import get_object
from hydra.utils import instantiate as hydra_instantiate

from fovea.runtime.bounds import check

# A checkpoint brings its own configuration, so a target is code that a stranger chose. These packages hold
# classes that build networks, losses, transforms and training parts, and do nothing else when called.
TRUSTED = (
    "albumentations.",
    "fovea.data.",
    "fovea.engine.callbacks.",
    "fovea.engine.loggers.",
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
# Of other people's packages only classes are called: among their functions are some that fetch or load files.
FUNCTIONS_ALLOWED = ("fovea.engine.schedules.", "fovea.engine.loggers.")


def instantiate(config: Mapping[str, Any], key: str = "") -> Any:
    """Build what `config["_target_"]` names, nested targets first, from plain values; `_partial_` makes it a factory.

    Values are checked against the bounds of `fovea.runtime.bounds` in the annotations of fovea's own classes; `key` is
    the configuration key of `config`, for error messages.

    Packages of your own are trusted by the environment variable `FOVEA_TRUSTED`, a comma-separated list.

    Raises:
        ValueError: a target does not exist, is not trusted, or does not accept its arguments. A factory raises it too.
    """
    for place, target, values in targets(config, key):
        found = locate(target, f"{place}._target_" if place else "_target_")
        if found.__module__.startswith("fovea."):
            check(found, values, place)
    try:
        built = hydra_instantiate(dict(config), _convert_="all")
    except Exception as error:
        # Hydra wraps what a constructor raised; the line that a user needs is the constructor's own.
        reason = error.__cause__ if error.__cause__ is not None else error
        raise _refused(config["_target_"], reason) from error
    return _factory(config["_target_"], built) if config.get("_partial_") else built


def _factory(target: str, build: Callable[..., Any]) -> Callable[..., Any]:
    def factory(*args: Any, **kwargs: Any) -> Any:
        try:
            return build(*args, **kwargs)
        except Exception as error:
            raise _refused(target, error) from error

    return factory


def _refused(target: str, reason: BaseException) -> BaseException:
    """What a user needs to read: our own errors and those of files as they are, others with the target's name."""
    if isinstance(reason, ValueError | OSError):
        return reason
    return ValueError(f"{target} cannot be built: {type(reason).__name__}: {reason}")


def locate(target: str, key: str = "_target_") -> Any:
    """The class or function that `target` names; its module is imported, nothing is called.

    Raises:
        ValueError: it does not exist or is not trusted.
    """
    own = tuple(
        f"{name.strip().rstrip('.')}." for name in os.environ.get("FOVEA_TRUSTED", "").split(",") if name.strip()
    )
    mend = "name a class that fovea trusts, or add its package to the environment variable FOVEA_TRUSTED"
    if not target.startswith(TRUSTED + own):
        raise ValueError(f"{key}: {target} is not trusted; {mend}")
    try:
        found = get_object(target)
    except Exception as error:
        raise ValueError(f"{key}: {target} does not exist ({error.__cause__ or error}); check its spelling") from error
    # Without this, `fovea.some_module.os.system` would pass for a part of fovea.
    home = f"{getattr(found, '__module__', None)}."
    function_allowed = home.startswith(FUNCTIONS_ALLOWED + own) and inspect.isfunction(found)
    if not home.startswith(TRUSTED + own) or not (inspect.isclass(found) or function_allowed):
        raise ValueError(f"{key}: {target} is not trusted; {mend}")
    return found


def targets(config: Any, key: str = "") -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each mapping with a `_target_` that is going to be built, nested ones too: its dotted key, target and values."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield key, str(config["_target_"]), config
        if config.get("_recursive_", True):
            for name, value in config.items():
                yield from targets(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            yield from targets(value, f"{key}[{number}]")
