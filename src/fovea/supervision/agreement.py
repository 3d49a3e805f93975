"""How the levels of a pseudo-mask get on in training: a weight for each, and a warning when one collapses."""

import logging

import torch
from torch import Tensor, distributed, nn

from fovea.runtime.processes import first

log = logging.getLogger(__name__)
NEXT_TO_NOTHING = 0.1  # of the pixels of its pseudo-mask: a level that predicts fewer has collapsed


class Agreement(nn.Module):
    """The Dice of each level's prediction with its own pseudo-mask, over about the last `window` training batches.

    It needs no mask. A level whose pseudo-mask cannot be learnt, because the gaze is off or its threshold strict, comes
    to predict the background alone; its Dice is then 0, whereas that of its loss is small.

    Args:
        levels: Their number, K.
        window: Steps that the moving averages remember.
    """

    running: Tensor  # [3, K]: parts of the pixels that are predicted, that are in the pseudo-mask, that are in both

    def __init__(self, levels: int, window: int) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(3, levels))
        self.window = window
        self.steps = 0
        self.collapsed: set[int] = set()

    @torch.no_grad()
    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Follow one training batch: logits and targets of 0 and 1, both [K, B, 1, H, W]; all processes together."""
        predicted, wanted = logits > 0, targets > 0
        shares = torch.stack([predicted, wanted, predicted & wanted]).float().mean(dim=(2, 3, 4, 5))
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(shares)
            shares /= distributed.get_world_size()
        self.running.lerp_(shares.to(self.running), 1 / self.window)

    def dice(self) -> Tensor:
        """[K] in [0, 1]. All averages began at 0 together, so that their ratio is right from the first step on."""
        predicted, wanted, both = self.running
        return 2 * both / (predicted + wanted).clamp_min(torch.finfo(both.dtype).tiny)

    def weights(self) -> Tensor:
        """[K] that sum to 1, in proportion to the Dice; equal ones while every level's is 0."""
        dice = self.dice() + 1e-6
        return dice / dice.sum()

    def after_step(self, names: list[str], mend: str) -> None:
        """Look once every `window` steps, and say which levels have collapsed since, and which are back.

        Args:
            names: What to call each level.
            mend: What to do about a collapse.
        """
        self.steps += 1
        if self.steps % self.window:
            return
        predicted, wanted, _ = self.running.tolist()
        now = {k for k in range(len(names)) if predicted[k] < NEXT_TO_NOTHING * wanted[k]}
        if first():
            for k in sorted(now - self.collapsed):
                part = 100 * predicted[k] / wanted[k]
                log.warning("%s predicts next to nothing: %.1f %% of its pseudo-mask's area; %s", names[k], part, mend)
            for k in sorted(self.collapsed - now):
                log.info("%s predicts again", names[k])
        self.collapsed = now
