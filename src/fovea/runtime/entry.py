"""How every command starts and ends: Hydra composes, the command runs on plain values, errors are one line."""

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fovea.runtime.errors import FoveaError
from fovea.runtime.files import write_json, write_text
from fovea.runtime.provenance import provenance

Config = dict[str, Any]
log = logging.getLogger(__name__)


def command(name: str) -> Callable[[Callable[[Config], None]], Callable[[], None]]:
    """Make a command out of a function of the resolved configuration (`configs/<name>.yaml`) as plain values.

    Exit status: 0; 1 after one line on stderr; 130 after Ctrl-C. A traceback is shown only where the user
    set `HYDRA_FULL_ERROR=1`. Each run leaves `config.yaml` and `provenance.json` in its folder first.
    """

    def decorate(run: Callable[[Config], None]) -> Callable[[], None]:
        caught: list[Exception] = []

        def job(composed: DictConfig) -> None:
            try:
                config = resolve(composed)
                record(name, config)
                run(config)
            except Exception as error:
                # Raised in a single run, Hydra would add lines of its own. In a multirun it must be raised, since
                # a launcher may run the job elsewhere; Hydra raises the first when all jobs have ended.
                if HydraConfig.get().mode != RunMode.MULTIRUN:
                    caught.append(error)
                    return
                log.error("job %s: %s", HydraConfig.get().job.num, one_line(error))
                raise

        def main() -> None:
            wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
            os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a traceback of its own and exits
            os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network on import
            try:
                hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=name)(job)()
                if caught:
                    raise caught.pop()
            except KeyboardInterrupt:
                print(f"fovea-{name}: interrupted", file=sys.stderr)
                sys.exit(130)
            except Exception as error:
                if wants_traceback:
                    raise
                print(f"fovea-{name}: {one_line(error)}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def config_folder() -> Path:
    """`configs/` of the checkout, or the copy that the wheel carries."""
    package = Path(__file__).resolve().parents[1]
    carried = package / "configs"
    return carried if carried.is_dir() else package.parents[1] / "configs"


def resolve(composed: DictConfig) -> Config:
    """The configuration as plain values, every interpolation resolved and every mandatory key given.

    Raises:
        FoveaError: a mandatory key (`???`) was left out.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise FoveaError(f"{missing[0]} is not given: add {missing[0]}=… to the command line")
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def record(name: str, config: Config) -> None:
    """Write `config.yaml` and `provenance.json` into the run folder."""
    folder = Path(config["run_dir"])
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    write_json(folder / "provenance.json", provenance(name, list(HydraConfig.get().overrides.task), config["seed"]))


def one_line(error: BaseException) -> str:
    """An error as one line for a person: what, where, how to mend it."""
    if isinstance(error, FoveaError):
        # A data loader's worker sends its error as a whole traceback; the message is on the last line.
        text = str(error)
        return text.rpartition("FoveaError: ")[2].strip() if "Original Traceback" in text else text
    if isinstance(error, HydraException | OmegaConfBaseException):
        # Such a message names the key and, on further lines, its place in the configuration.
        return re.sub(r"\s*\n\s*", "; ", str(error).strip())
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename}: {(error.strerror or str(error)).lower()}; check the path, its rights and the free space"
        )
    text = re.sub(r"\s*\n\s*", "; ", str(error).strip())
    return f"{type(error).__name__}: {text} (HYDRA_FULL_ERROR=1 shows where)"
