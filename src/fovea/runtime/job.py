"""A run of a command: Hydra composes, the command runs on plain values, each job keeps its record."""

import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fovea.runtime.command_line import checked, require_groups
from fovea.runtime.config import config_folder, plain, resolve
from fovea.runtime.errors import FULL_ERROR
from fovea.runtime.files import read_mapping, write_text
from fovea.runtime.moved import refuse_old_overrides
from fovea.runtime.objective import Outcome, Part, mean_of, parts
from fovea.runtime.one_line import one_line
from fovea.runtime.processes import alone, end_as_failed, first, join_launcher, joined
from fovea.runtime.record import (
    FAILURE,
    add_threads,
    earlier_record_kept,
    write_failure,
    write_provenance,
    write_recipe,
)

log = logging.getLogger(__name__)
logging.raiseExceptions = False  # on a full disk each line of the log would print a traceback
Config = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A function of the resolved configuration, which returns the value of a job to a sweep."""

    name: str
    run: Callable[[Config], float | None]
    ended: Callable[[Config], Outcome | None]

    def start(self) -> None:
        """Run what the command line asks for: a single run, a multirun, or a further process of a training."""
        if (handed_over := joined()) is not None:
            for each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # sent to all: the first ends this one
                signal.signal(each, signal.SIG_IGN)
            self.run(plain(OmegaConf.load(handed_over), resolve=False))
            return
        words = sys.argv[1:]
        refuse_old_overrides(words)
        sys.argv[1:] = checked(words)
        errors: list[Exception] = []
        before = _show_full_errors("1")  # otherwise Hydra prints a traceback of its own and exits

        def job(composed: DictConfig) -> float | None:
            return self.job(composed, errors, before)

        try:
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=self.name)(job)()
        except (ConfigCompositionException, TypeError, ValueError):
            require_groups(self.name, words)
            raise
        finally:
            _show_full_errors(before)
        if errors:
            raise errors.pop()

    def job(self, composed: DictConfig, errors: list[Exception], full_error: str | None) -> float | None:
        """Run one job.

        Raised in a single run, Hydra would add lines to an error, so it goes into `errors`. In a multirun it must be
        raised, since a launcher may run the job elsewhere. Hydra raises the first one after all jobs.
        """
        _show_full_errors(full_error)  # the jobs, and the processes that they start, see the user's setting
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN and "compute" in composed:
                join_launcher(HydraConfig.get().job.num, composed.compute.get("gpus"))
            return self.perform(composed)
        except KeyboardInterrupt as interrupt:
            if "ckpt_path" in composed:
                interrupt.add_note(f"the same command with {shlex.quote(_folder())} ckpt_path=auto resumes it")
            raise
        except Exception as error:
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                errors.append(error)
                return None
            log.error("job %s: %s", HydraConfig.get().job.num, one_line(error))
            end_as_failed()
            raise
        finally:
            _show_full_errors("1")

    def perform(self, composed: DictConfig) -> float | None:
        """Run, or run the parts of the job one after the other, unless it has ended earlier; return its value."""
        config = resolve(composed)
        folder = Path(config["run_dir"])
        if (outcome := self.ended(config)) is not None:
            log.info("%s: finished earlier with this configuration", folder)
            return outcome.value
        below = parts(config, HydraConfig.get().overrides.task)
        with alone(folder) if self.name == "train" and first() else nullcontext(), earlier_record_kept(folder):
            if first():
                self.record(config, composed)
            else:  # of the processes that SLURM or torchrun starts, the first logs
                logging.disable(logging.WARNING)
            with failure_recorded(folder) if first() else nullcontext():
                if below:
                    value = mean_of(folder, {part.folder: self.perform(part_of(composed, part)) for part in below})
                else:
                    value = self.run(config)
        if first():
            add_threads(folder)
        return value

    def record(self, config: Config, composed: DictConfig) -> None:
        """Write the files that describe and repeat the run; `fovea.runtime.record` lists them.

        A ValueError if the folder has those of a training, and this is another command.
        """
        folder, module = Path(config["run_dir"]), self.run.__module__
        there = str(read_mapping(folder / "provenance.json").get("command"))
        if self.name != "train" and there.startswith("fovea-train"):
            raise ValueError(f"hydra.run.dir={folder}: has a run of fovea-train; choose another")
        (folder / FAILURE).unlink(missing_ok=True)  # of an earlier start
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


def _folder() -> str:
    """Return the key that names the folder of this run, or of its sweep."""
    hydra = HydraConfig.get()
    return f"hydra.sweep.dir={hydra.sweep.dir}" if hydra.mode == RunMode.MULTIRUN else f"hydra.run.dir={hydra.run.dir}"


def _show_full_errors(value: str | None) -> str | None:
    """Set the variable of full errors, or remove it (None); return its value before."""
    before = os.environ.pop(FULL_ERROR, None)
    if value is not None:
        os.environ[FULL_ERROR] = value
    return before
