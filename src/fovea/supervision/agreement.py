"""Track how well each level fits its own pseudo-mask, and warn of a collapse."""

import logging

import torch
from torch import Tensor, distributed, nn

from fovea.runtime.processes import first

log = logging.getLogger(__name__)
COLLAPSED = 0.1  # of the area of its pseudo-mask: a level that predicts less has collapsed


class Agreement(nn.Module):
    """The Dice of each level's prediction with its own pseudo-mask, over about the last `window` training batches.

    It needs no mask. A level that cannot learn its pseudo-mask, e.g. with a high threshold on poor gaze, ends in
    predicting only background. Its Dice is then 0, but its loss is small.
    """

    running: Tensor  # [3, K]: the parts of the pixels that are predicted, in the pseudo-mask, and in both

    def __init__(self, levels: int, window: int) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(3, levels))
        self.window = window
        self.steps = 0
        self.collapsed: set[int] = set()

    @torch.no_grad()
    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add one training batch of all processes: logits and targets of 0 and 1, both [K, B, 1, H, W]."""
        predicted, wanted = logits > 0, targets > 0
        shares = torch.stack([predicted, wanted, predicted & wanted]).float().mean(dim=(2, 3, 4, 5))
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(shares)
            shares /= distributed.get_world_size()
        self.running.lerp_(shares.to(self.running), 1 / self.window)

    def dice(self) -> Tensor:
        """Return the Dice of each level, [K]. All averages start at 0, so their ratio is right from the first step."""
        predicted, wanted, both = self.running
        return 2 * both / (predicted + wanted).clamp_min(torch.finfo(both.dtype).tiny)

    def weights(self) -> Tensor:
        """Return weights [K] in proportion to the Dice, with sum 1; equal weights if all Dice are 0."""
        dice = self.dice() + 1e-6
        return dice / dice.sum()

    def after_step(self, names: list[str], advice: str) -> None:
        """Every `window` steps, log which levels have collapsed, with the advice, or recovered since the last time."""
        self.steps += 1
        if self.steps % self.window:
            return
        predicted, wanted, _ = self.running.tolist()
        now = {k for k in range(len(names)) if predicted[k] < COLLAPSED * wanted[k]}
        if first():
            for k in sorted(now - self.collapsed):
                percent = 100 * predicted[k] / wanted[k]
                log.warning("%s predicts only %.1f %% of the area of its pseudo-mask; %s", names[k], percent, advice)
            for k in sorted(self.collapsed - now):
                log.info("%s has recovered", names[k])
        self.collapsed = now
