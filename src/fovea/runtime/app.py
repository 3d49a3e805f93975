"""The start and the end of every command: Hydra composes, the command runs on plain values, an error is one line."""

import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from fovea.runtime.config import Config, config_folder, resolve
from fovea.runtime.errors import one_paragraph
from fovea.runtime.files import write_text
from fovea.runtime.moved import refuse_old_overrides
from fovea.runtime.objective import Outcome, Part, mean_of, parts
from fovea.runtime.processes import end_as_failed, first, joined
from fovea.runtime.record import forget_failure, write_failure, write_provenance, write_recipe

log = logging.getLogger(__name__)
FULL_ERROR = "HYDRA_FULL_ERROR"
SHOW = f"({FULL_ERROR}=1 shows where)"


def command(
    name: str, ended: Callable[[Config], Outcome | None] = lambda config: None
) -> Callable[[Callable[[Config], float | None]], Callable[[], None]]:
    """Make a command of a function of the resolved configuration (`configs/<name>.yaml`).

    The exit status is 0, 1 after one line on stderr, or 130 after Ctrl-C. A traceback is shown only under
    `HYDRA_FULL_ERROR=1`. Each run first writes the files of `record` into its folder.

    Args:
        name: `fovea-<name>`.
        ended: Returns the outcome of a run that ended earlier with this configuration, or None.
    """

    def decorate(run: Callable[[Config], float | None]) -> Callable[[], None]:
        return partial(end_in_one_line, name, Task(name, run, ended).start)

    return decorate


@dataclass(frozen=True)
class Task:
    """A command: `run` returns the value of a job to a sweep."""

    name: str
    run: Callable[[Config], float | None]
    ended: Callable[[Config], Outcome | None]

    def start(self) -> None:
        """Run what the command line asks for: a single run, a multirun, or a further process of a training."""
        if (config := joined()) is not None:
            self.run(cast(Config, OmegaConf.to_container(OmegaConf.load(config))))
            return
        refuse_old_overrides(sys.argv[1:])
        require_slurm(sys.argv[1:])
        errors: list[Exception] = []
        with hydra_raises() as environment:

            def job(composed: DictConfig) -> float | None:
                return self.job(composed, errors, environment)

            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=self.name)(job)()
        if errors:
            raise errors.pop()

    def job(self, composed: DictConfig, errors: list[Exception], environment: dict[str, str | None]) -> float | None:
        """Run one job.

        Raised in a single run, Hydra would add lines to an error, so it goes into `errors`. In a multirun it must be
        raised, since a launcher may run the job elsewhere. Hydra raises the first one after all jobs.
        """
        set_environment(environment)
        try:
            return self.perform(composed)
        except Exception as error:
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                errors.append(error)
                return None
            log.error("job %s: %s", HydraConfig.get().job.num, one_line(error))
            end_as_failed()
            raise
        finally:
            os.environ[FULL_ERROR] = "1"

    def perform(self, composed: DictConfig) -> float | None:
        """Run, or run the parts of the job one after the other, unless it has ended earlier; return its value."""
        config = resolve(composed)
        folder = Path(config["run_dir"])
        if (outcome := self.ended(config)) is not None:
            log.info("%s: ended earlier with this configuration", folder)
            return outcome.value
        below = parts(config.get("objective"))
        if first():
            self.record(config, composed)
        else:  # of the processes that SLURM or torchrun starts, the first logs
            logging.disable(logging.WARNING)
        with failure_recorded(folder):
            if not below:
                return self.run(config)
            return mean_of(folder, {part.folder: self.perform(part_of(composed, part)) for part in below})

    def record(self, config: Config, composed: DictConfig) -> None:
        """Write the files that describe and repeat the run.

        `config.yaml`, resolved; `provenance.json` and `changes.diff`; `recipe.yaml`, unresolved, and `repeat.sh`.
        """
        folder, module = Path(config["run_dir"]), self.run.__module__
        forget_failure(folder)
        if module == "__main__":
            module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]  # python -m has one
        write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
        write_provenance(folder, self.name, list(HydraConfig.get().overrides.task), config["seed"])
        write_recipe(folder, module, composed, HydraConfig.get())


@contextmanager
def failure_recorded(folder: Path) -> Iterator[None]:
    """Record in a run folder why the run in the block failed or was interrupted."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        write_failure(folder, "interrupted", str(interrupt) or "Ctrl-C")
        raise
    except Exception as error:
        write_failure(folder, "failed", one_line(error))
        raise


def part_of(composed: DictConfig, part: Part) -> DictConfig:
    """Return the configuration of one run of a job; keys derived from the changed ones follow."""
    changed = composed.copy()
    folder = str(Path(composed["run_dir"]) / part.folder)
    for key, value in {**part.keys, "run_dir": folder, "objective.seeds": None, "objective.folds": None}.items():
        OmegaConf.update(changed, key, value)
    return changed


def end_in_one_line(name: str, start: Callable[[], None]) -> None:
    """Call `start`; end with the exit status of the command, after one line if it failed."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network on import
    try:
        start()
    except KeyboardInterrupt:
        print(f"fovea-{name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get(FULL_ERROR, "0") not in ("", "0"):
            raise
        print(f"fovea-{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def hydra_raises() -> Iterator[dict[str, str | None]]:
    """Make Hydra raise errors in the block; otherwise it prints a traceback of its own and exits.

    Yields:
        The value of the variable before, which jobs and the processes that they start should see.
    """
    before = {FULL_ERROR: os.environ.get(FULL_ERROR)}
    os.environ[FULL_ERROR] = "1"
    try:
        yield before
    finally:
        set_environment(before)


def set_environment(variables: dict[str, str | None]) -> None:
    """Set variables; None removes one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def require_slurm(arguments: list[str]) -> None:
    """Refuse `compute=slurm…` on a machine without SLURM."""
    wanted = any(argument.startswith(("compute=slurm", "hydra/launcher=submitit_slurm")) for argument in arguments)
    if wanted and shutil.which("sbatch") is None:
        raise ValueError("there is no SLURM here (no sbatch): start from a node of the cluster, or set compute=local")


def one_line(error: BaseException) -> str:
    """Return an error as one line: what is wrong, where, and how to fix it."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _of_configuration(error)
    if isinstance(error, ValueError):
        message = one_paragraph(str(error))
        return message if _is_ours(error) else f"{message} {SHOW}"
    if "submitit.core.utils" in sys.modules:  # nothing else can raise its errors
        from submitit.core.utils import FailedJobError, UncompletedJobError

        if isinstance(error, FailedJobError):  # also an UncompletedJobError
            return f"{one_paragraph(str(error))}; see sinfo, and the keys compute.* (or hydra.launcher.*)"
        if isinstance(error, UncompletedJobError):
            return f"{' '.join(str(error).splitlines()[:2])}; see the log beside that path (_log.err), and sacct"
    if isinstance(error, OSError) and error.filename is not None:
        reason = (error.strerror or str(error)).lower()
        return f"{error.filename}: {reason}; check the path, its permissions and the free space"
    return f"{type(error).__name__}: {one_paragraph(str(error))} {SHOW}"


def _is_ours(error: BaseException) -> bool:
    """Return whether fovea raised an error: the innermost frame is ours."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return not frames or frames[-1].startswith(("fovea.", "hydra_plugins.fovea", "__main__"))


def _of_configuration(error: HydraException | OmegaConfBaseException) -> str:
    """Return the one line of Hydra's and OmegaConf's errors, which have several, some about their own internals."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        choices = ", ".join(option for option in error.options if option != "base")  # the others include base
        return f"{group}={choice} is not a choice; choose {choices}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not of the form key=value, or an unclosed bracket or quote; write 'key=[1, 2]'"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(cause.full_key, cause.parent_node)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return one_paragraph(str(error))


def _unknown_key(key: str, parent: Any) -> str:
    above, _, name = key.rpartition(".")
    siblings = sorted(map(str, parent)) if isinstance(parent, DictConfig) else []
    hint = f"there are {', '.join(siblings)}; " if siblings else ""
    if near := get_close_matches(name, siblings, 1):
        hint = f"did you mean {above + '.' if above else ''}{near[0]}? "
    return f"{key} is not a key; {hint}+{key}=… would add it"
