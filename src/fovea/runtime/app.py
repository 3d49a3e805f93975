"""How every command starts and ends: Hydra composes, the command runs on plain values, errors are one line."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
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

from fovea.runtime.files import write_text
from fovea.runtime.objective import Outcome, Part, mean_of, parts
from fovea.runtime.processes import end_as_failed, first, joined
from fovea.runtime.provenance import write_provenance
from fovea.runtime.repeat import write_recipe

Config = dict[str, Any]
log = logging.getLogger(__name__)
# How submitit says that a job was killed, with all that it wrote on the lines that follow.
LOST = re.compile(r"Job (?P<job>\S+) .*with path (?P<path>.+)_result\.pkl\nhas not .*\(state: (?P<state>.*)\)")


def command(
    name: str, ended: Callable[[Config], Outcome | None] = lambda config: None
) -> Callable[[Callable[[Config], float | None]], Callable[[], None]]:
    """Make a command out of a function of the resolved configuration (`configs/<name>.yaml`) as plain values.

    What the function returns is the value of a job to a sweep; `ended` says how a run that needs not be done again
    ended, see `fovea.runtime.objective`.

    Exit status: 0; 1 after one line on stderr; 130 after Ctrl-C. A traceback is shown only where the user
    set `HYDRA_FULL_ERROR=1`. Each run leaves what `record` writes in its folder first.
    """

    def decorate(run: Callable[[Config], float | None]) -> Callable[[], None]:
        caught: list[Exception] = []
        task = Task(name, f"fovea.cli.{Path(run.__code__.co_filename).stem}", run, ended)

        def job(composed: DictConfig) -> float | None:
            try:
                return task.perform(composed)
            except Exception as error:
                # Raised in a single run, Hydra would add lines of its own. In a multirun it must be raised, since
                # a launcher may run the job elsewhere; Hydra raises the first when all jobs have ended.
                if HydraConfig.get().mode != RunMode.MULTIRUN:
                    caught.append(error)
                    return None
                log.error("job %s: %s", HydraConfig.get().job.num, one_line(error))
                end_as_failed()
                raise

        def start() -> None:
            if (config := joined()) is not None:
                run(cast(Config, OmegaConf.to_container(OmegaConf.load(config))))
                return
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=name)(job)()
            if caught:
                raise caught.pop()

        return partial(end_in_one_line, name, start)

    return decorate


@dataclass(frozen=True)
class Task:
    """What a command does with a composed configuration."""

    name: str
    module: str  # of the command, for `python -m`; its own name is __main__ there
    run: Callable[[Config], float | None]
    ended: Callable[[Config], Outcome | None]

    def perform(self, composed: DictConfig) -> float | None:
        """Run it, or its parts one after the other, unless it has ended before; the value of its objective."""
        config = resolve(composed)
        folder = Path(config["run_dir"])
        if (outcome := self.ended(config)) is not None:
            log.info("%s: has ended before with this configuration", folder)
            return outcome.value
        below = parts(config.get("objective"))
        if first():
            record(self.name, self.module, config, composed)
        else:  # started by SLURM or torchrun: the first says it all
            logging.disable(logging.WARNING)
        if not below:
            return self.run(config)
        return mean_of(folder, {part.folder: self.perform(part_of(composed, part)) for part in below})


def end_in_one_line(name: str, start: Callable[[], None]) -> None:
    """Do it, and end with the exit status and the one line that every command owes its user."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a traceback of its own and exits
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network on import
    try:
        start()
    except KeyboardInterrupt:
        print(f"fovea-{name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if wants_traceback:
            raise
        print(f"fovea-{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    finally:
        logging.disable(logging.NOTSET)


def config_folder() -> Path:
    """`configs/` of the checkout, or the copy that the wheel carries."""
    package = Path(__file__).resolve().parents[1]
    carried = package / "configs"
    return carried if carried.is_dir() else package.parents[1] / "configs"


def resolve(composed: DictConfig) -> Config:
    """The configuration as plain values, every interpolation resolved and every mandatory key given.

    Raises:
        ValueError: a mandatory key (`???`) was left out, or the seed is no seed.
    """
    # OmegaConf's own search for missing keys fails on an interpolation of one, and names that instead.
    if missing := sorted(_missing(OmegaConf.to_container(composed))):
        raise ValueError(f"{missing[0]} is not given: add {missing[0]}=… to the command line")
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    seed = plain.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} is not possible; give a whole number from 0 on")
    return {str(key): value for key, value in plain.items()}


def _missing(config: Any, key: str = "") -> Iterator[str]:
    if config == "???":
        yield key
    elif isinstance(config, dict):
        for name, value in config.items():
            yield from _missing(value, f"{key}.{name}" if key else str(name))


def part_of(composed: DictConfig, part: Part) -> DictConfig:
    """The configuration of one of the runs of a job, which reaches all keys that are made of those it changes."""
    changed = composed.copy()
    folder = str(Path(composed["run_dir"]) / part.folder)
    for key, value in {**part.keys, "run_dir": folder, "objective.seeds": None, "objective.folds": None}.items():
        OmegaConf.update(changed, key, value)
    return changed


def record(name: str, module: str, config: Config, composed: DictConfig) -> None:
    """Write what it takes to know and to repeat the run into its folder.

    `config.yaml`, resolved; `provenance.json` and `changes.diff`; `recipe.yaml`, unresolved, and `repeat.sh`.
    """
    folder = Path(config["run_dir"])
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    write_provenance(folder, name, list(HydraConfig.get().overrides.task), config["seed"])
    write_recipe(folder, module, composed, HydraConfig.get())


def one_line(error: BaseException) -> str:
    """An error as one line for a person: what, where, how to mend it."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _of_configuration(error)
    if isinstance(error, ValueError):
        # A data loader's worker sends its error as a whole traceback; the message is on the last line.
        text = str(error)
        return _joined(text.rpartition("ValueError: ")[2] if "Original Traceback" in text else text)
    if type(error).__name__ == "FailedJobError" and "sbatch: error:" in str(error):
        said = _joined(str(error).replace("sbatch: error: ", ""))
        return f"sbatch does not take the job: {said}; see sinfo, and the keys compute.* (or hydra.launcher.*)"
    if type(error).__name__ == "UncompletedJobError" and (job := LOST.match(str(error))):
        what = f"job {job['job']} ended without a result, state {job['state']}"
        return f"{what}; see {job['path']}_log.err, and sacct -j {job['job']}"
    if "srun" in str(error) and "slurm cluster" in str(error):
        return "there is no SLURM here (sbatch is not found): start from a node of the cluster, or set compute=local"
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename}: {(error.strerror or str(error)).lower()}; check the path, its rights and the free space"
        )
    return f"{type(error).__name__}: {_joined(str(error))} (HYDRA_FULL_ERROR=1 shows where)"


def _of_configuration(error: HydraException | OmegaConfBaseException) -> str:
    """What Hydra and OmegaConf say on several lines, some of them about their own insides."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        choices = ", ".join(option for option in error.options if option != "base")  # what the others are made of
        return f"{group}={choice} is not a choice; choose {choices}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not of the form key=value, or an unclosed bracket or quote; write 'key=[1, 2]'"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(cause.full_key, cause.parent_node)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return _joined(str(error))


def _unknown_key(key: str, parent: Any) -> str:
    above, _, name = key.rpartition(".")
    there = sorted(map(str, parent)) if isinstance(parent, DictConfig) else []
    near = get_close_matches(name, there, 1)
    mend = f"did you mean {f'{above}.' if above else ''}{near[0]}?" if near else f"there are {', '.join(there)};"
    return f"{key} is not a key; {mend if there else ''} +{key}=… would add it".replace("  ", " ")


def _joined(text: str) -> str:
    """Several lines as one."""
    lines = (line.strip().rstrip(".;") for line in text.splitlines())
    return "; ".join(line for line in lines if line)
