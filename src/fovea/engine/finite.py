"""End a training whose loss or weights are not numbers, before a checkpoint of it is saved."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fovea.runtime.errors import first_few


class Finite:
    """Notes the terms of the loss of each step on their device, and raises when it is asked.

    Reading a value waits for the device, so this is done every few steps only. The error names the learning rate and
    the precision of the training configuration.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.pending: list[tuple[int, dict[str, Tensor]]] = []  # step and terms, not yet looked at

    def note(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Note the terms of a step."""
        self.pending.append((step, {name: value.detach() for name, value in terms.items()}))

    def check(self) -> None:
        """Look at all noted steps; a ValueError names the first one with a term that is not a number."""
        pending, self.pending = self.pending, []
        for step, terms in pending:
            values = {name: value.float().item() for name, value in terms.items()}
            names = sorted(values, key=lambda name: name == "loss")  # `loss` is the sum of the others
            if wrong := [name for name in names if not math.isfinite(values[name])]:
                raise ValueError(f"step {step}: the term {wrong[0]} of the loss is not a finite number; {self.cause}")

    def check_weights(self, step: int, weights: Mapping[str, Any]) -> None:
        """Raise a ValueError if some weights are not numbers."""
        if wrong := not_numbers(weights):
            raise ValueError(f"step {step}: weights are not numbers ({first_few(wrong, 2)}); {self.cause}")

    @property
    def cause(self) -> str:
        """The likeliest cause, with the key to change."""
        rate = self.config.get("optimizer", {}).get("lr")
        lower = f"lower optimizer.lr={rate}" if rate is not None else "lower the learning rate"
        if self.config.get("trainer", {}).get("precision") == "16-mixed":
            return f"a number may be too large for trainer.precision=16-mixed: set bf16-mixed or 32-true, or {lower}"
        return f"the learning rate may be too high: {lower}"


def not_numbers(weights: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors that hold a value that is not a number."""
    return [name for name, value in weights.items() if isinstance(value, Tensor) and bool(value.isnan().any())]
