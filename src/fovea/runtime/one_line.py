"""Errors as one line: what is wrong, where, and how to fix it."""

import re
import sys
import traceback
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from fovea.runtime.command_line import how_to_write
from fovea.runtime.config import config_folder, flat, own_packages
from fovea.runtime.errors import FULL_ERROR, did_you_mean, first_few, first_line, one_paragraph

_IN_WORKER = "Original Traceback (most recent call last)"
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def one_line(error: BaseException) -> str:
    """Return an error as one line: what is wrong, where, and how to fix it."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _of_configuration(error)
    if isinstance(error, UnicodeEncodeError):
        return f"a path or a name has letters that this locale lacks; set PYTHONUTF8=1 {_where(error)}"
    if isinstance(error, ValueError):
        message = one_paragraph(str(error))
        frames = _modules(error)
        # The innermost; `hydra.core.utils` raises those of jobs in other processes.
        ours = not frames or frames[-1].startswith(("fovea.", "hydra_plugins.fovea", "hydra.core.utils", "__main__"))
        if not ours and isinstance(error.__cause__, OSError):  # logging's, of a log that cannot be opened
            return one_line(error.__cause__)
        return message if ours and not is_yours(error) else f"{message} {_where(error)}"
    if isinstance(error, ImportError):  # also of a network that imports a package at its first step
        return f"a package is missing: {first_line(error)}; install it {_where(error)}"
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name}: line {mark.line + 1}: {error.problem}; correct the YAML"
    if "submitit.core.utils" in sys.modules:  # nothing else can raise its errors
        from submitit.core.utils import FailedJobError, UncompletedJobError

        if isinstance(error, FailedJobError):  # also an UncompletedJobError
            return f"{one_paragraph(str(error))}; see sinfo, and the keys compute.* (or hydra.launcher.*)"
        if isinstance(error, UncompletedJobError):
            return f"{' '.join(str(error).splitlines()[:2])}; see the log beside that path (_log.err), and sacct"
    if isinstance(error, OSError) and error.strerror:
        place, hint = (f"{error.filename}: ", "") if error.filename is not None else ("", f" {_where(error)}")
        return f"{place}{error.strerror.lower()}; check the path, its permissions and the free space{hint}"
    text = str(error).strip()
    if _IN_WORKER in text:  # of torch, whose text ends like a traceback: `KeyError: 'a'`
        text = text.splitlines()[-1].partition(": ")[2]
    return f"{type(error).__name__}: {one_paragraph(text)} {_where(error)}"


def _where(error: BaseException) -> str:
    """Return the place of an error, and how to see the others."""
    return f"({place(error)}; {FULL_ERROR}=1 shows where)" if place(error) else f"({FULL_ERROR}=1 shows where)"


def place(error: BaseException) -> str:
    """Return the innermost line of your own packages, else of code that is not installed; empty without any code."""
    frames = traceback.extract_tb((cause := _first_cause(error)).__traceback__)
    pairs = list(zip(frames, _modules(cause), strict=True))
    yours = [frame for frame, module in pairs if f"{module}.".startswith(own_packages())]
    if not yours and (told := _FRAME.findall(f"{error.__cause__ or ''}\n{error}")):  # of a worker process
        frames = traceback.StackSummary.from_list([(path, int(line), "", None) for path, line in told])
        packages = [f"/{name.rstrip('.').replace('.', '/')}" for name in own_packages()]
        yours = [frame for frame in frames if any(package in frame.filename for package in packages)]
    own = yours or [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def is_yours(error: BaseException) -> bool:
    """Return whether code of your own packages failed: fovea only put the key in front."""
    modules = [f"{module}." for module in _modules(_first_cause(error))]
    known = [module for module in modules if module.startswith(("fovea.", *own_packages()))]
    return bool(known) and known[-1].startswith(own_packages())


def _first_cause(error: BaseException) -> BaseException:
    """Return the error that the others were raised from; an error that was raised again may be its own cause."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause.__traceback__ is not None and cause not in chain:
        chain.append(cause)
    return chain[-1]


def _modules(error: BaseException) -> list[str]:
    """Return the module of each frame of an error, from the outermost."""
    return [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]


def _of_configuration(error: HydraException | OmegaConfBaseException) -> str:
    """Return the one line of Hydra's and OmegaConf's errors, which have several, some about their own internals."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        choices = [option for option in error.options if option != "base"]  # the others include base
        hint = did_you_mean(choice, choices, f"{group}=")
        return f"{group}={choice} is not a choice; {hint}choose {', '.join(choices)}"
    if isinstance(error, OverrideParseException):
        return how_to_write(str(error.override))
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(cause.full_key, cause.parent_node)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return one_paragraph(str(error))


def _unknown_key(key: str, parent: Any) -> str:
    """Name the nearest key: beside it, of the same name, or of a similar path; or the choices of a group."""
    above, dot, name = key.rpartition(".")
    siblings = sorted(map(str, parent)) if isinstance(parent, DictConfig) else []
    hint = did_you_mean(name, siblings, above + dot)
    if not hint and isinstance(parent, DictConfig):
        whole = OmegaConf.to_container(parent._get_root())
        keys = [each for each, _ in flat(cast(dict[str, Any], whole)) if not each.startswith("hydra.")]
        paths = dict.fromkeys(path for each in keys for path in accumulate(each.split("."), "{}.{}".format))
        same = [path for path in paths if path.endswith(f".{name}")]
        if not same and (choices := sorted(path.stem for path in (config_folder() / key).glob("*.yaml"))):
            return f"{key} is not chosen: add {key}=… ({', '.join(choices)})"
        hint = f"did you mean {' or '.join(same[:3])}? " if same else did_you_mean(key, keys)
    hint = hint or f"there are {first_few(siblings, 12)}; "
    return f"{key} is not a key; {hint}+{key}=… would add it"
