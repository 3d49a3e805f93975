"""Configurations as flat keys, and which of the keys say nothing of what is learnt."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What may differ from a run that is gone on with: where it runs and what is watched, not what is learnt.
FREE = (
    "callbacks.best",
    "callbacks.last",
    "callbacks.preemption",
    "callbacks.progress",
    "callbacks.rate",
    "ckpt_path",
    "compute",
    "data.cache",
    "data.num_workers",
    "evaluate",
    "logger",
    "run_dir",
    "sheet_rows",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
)


def flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its value: `optimizer.lr`, 0.01. A list, and a mapping with nothing in it, is a value."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def is_under(key: str, names: Iterable[str]) -> bool:
    """Whether a flat key is one of `names`, or below one of them."""
    return any(f"{key}.".startswith(f"{name}.") for name in names)
