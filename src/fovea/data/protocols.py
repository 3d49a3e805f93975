"""What the data module asks of any kind of data."""

from collections.abc import Sized
from typing import Any, Protocol


class Plan(Protocol):
    """Which cases go where, and what held-out ones are scored against: the outcome of all checks."""

    @property
    def train(self) -> list[str]:
        """The cases that are trained on, with targets."""

    @property
    def val(self) -> list[str]:
        """The cases that checkpoints are chosen on."""

    @property
    def select_on(self) -> str:
        """What held-out cases are scored against: `mask` or `pseudo`."""

    @property
    def digest(self) -> str:
        """A short name for the cases that are trained on."""


class Training(Sized, Protocol):
    """Training samples by (pass, index), as arrays for a worker's pipe, and what makes a batch of them ready."""

    def __getitem__(self, key: tuple[int, int], /) -> dict[str, Any]: ...

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of samples, stacked as tensors on the device of the network, as a supervision mode takes it."""


class Samples(Protocol):
    """Held-out images one by one, with what they are scored against."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image`, `index`, `id` and `target`, the labels [H, W] or [D, H, W] at native size (int64)."""
