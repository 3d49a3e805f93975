"""Going on from a checkpoint: which one, and whether it is of this very run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fovea.engine.checkpoint import KEY, PREFIX, fill, read
from fovea.runtime.config import FREE, flat, is_under
from fovea.runtime.errors import first_few

LONG = 40  # characters of a value that an error shows


def resume_from(choice: str | None, run: Path, config: Mapping[str, Any], module: nn.Module) -> tuple[Path, int] | None:
    """The checkpoint to go on from, and its steps: none, a file, or with `auto` the run's own last one if it is there.

    Args:
        choice: `ckpt_path` of the configuration.
        run: The run folder.
        config: The configuration of this run.
        module: The supervision module that the weights should fit.

    Raises:
        ValueError: the file is missing, is no checkpoint, or is of another model or another configuration.
    """
    if choice is None:
        return None
    path = run / "checkpoints" / "last.ckpt" if choice == "auto" else Path(choice)
    if choice == "auto" and not path.exists():
        return None
    content = read(path)
    if different := sorted(differences(content[KEY]["config"], config)):
        raise ValueError(
            f"ckpt_path: {path} is of a run with another configuration: {first_few(different, 4)}; "
            "give the same values, or start afresh in another folder"
        )
    weights = {key.removeprefix(PREFIX): w for key, w in content["state_dict"].items() if key.startswith(PREFIX)}
    fill(module, weights, path)
    return path, int(content["global_step"])


def count_epochs_anew(checkpoint: Mapping[str, Any]) -> None:
    """Have Lightning go on at the place in the epoch that the loader kept.

    Lightning's own count goes wrong in a run that is gone on with twice from the last step of an epoch: it takes the
    second of these epochs for finished and unfinished at once, and trains it again. Here the last step of an epoch is
    the start of the next.

    Args:
        checkpoint: As Lightning loaded it; its progress is changed in place.
    """
    fit = checkpoint["loops"]["fit_loop"]
    batches, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]
    begun = checkpoint["DataModule"]["epoch"] + 1
    over = batches["is_last_batch"]
    if over:
        batches["total"] |= dict.fromkeys(batches["total"], batches["total"]["processed"])
        batches["current"] |= dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
    for count in (epochs["total"], epochs["current"]):
        count |= {"ready": begun, "started": begun, "processed": begun - (not over), "completed": begun - (not over)}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys, but the free ones, whose values differ, each as `key=old, now new`."""
    old, new = dict(flat(then)), dict(flat(now))
    return [
        f"{key}={_short(old.get(key, 'not there'))}, now {_short(new.get(key, 'not there'))}"
        for key in old.keys() | new.keys()
        if old.get(key) != new.get(key) and not is_under(key, FREE)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONG else f"…{text[-LONG:]}"
