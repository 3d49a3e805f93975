"""Thresholds of a pseudo-mask's map: fixed, drawn for each batch, or those that split the values of each map best."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fovea.losses import IGNORE

Values = Sequence[float | str | Sequence[float]]
BINS = 64  # of the histogram of a map
TIE = 1e-5  # of the variance; it decides between thresholds that split the values alike


class Thresholds:
    """Thresholds of a map in [0, 1]. A threshold that is a range is drawn for each training batch.

    A threshold that varies teaches the network how certain each side of the border is. Draws are uniform, by the seed
    of the run. Fixed thresholds draw nothing.

    Args:
        values: Numbers in (0, 1], or pairs `[low, high]` of such numbers; or `[otsu]` or `[otsu, otsu]`, one or two
            thresholds for each map, from its own values.

    Raises:
        ValueError: no value, or a value outside (0, 1].
    """

    def __init__(self, values: Values) -> None:
        self.values = list(values)
        self.ranges: list[Sequence[float]] = []
        if self.values in (["otsu"], ["otsu", "otsu"]):
            return
        self.ranges = [value if isinstance(value, Sequence) else (value, value) for value in self.values]  # type: ignore[misc]
        if not self.ranges or not all(map(_is_range, self.ranges)):
            raise ValueError(
                f"thresholds must be numbers in (0, 1], ranges as [0.4, 0.6], [otsu] or [otsu, otsu], got {self.values}"
            )

    def __len__(self) -> int:
        return len(self.values)

    def draw(self, pseudo: Tensor) -> Tensor:
        """Return the thresholds of maps [B, 1, *size] in their order, those of Otsu falling, [T, B or 1, 1, 1, …]."""
        if self.ranges:
            drawn = [low if low == high else torch.empty(()).uniform_(low, high).item() for low, high in self.ranges]
            found = pseudo.new_tensor(drawn)[:, None]
        else:
            found = otsu(pseudo, len(self))
        return found.view(*found.shape, *[1] * (pseudo.dim() - 1))

    def trimap(self, pseudo: Tensor) -> Tensor:
        """Return 1 from the largest threshold up, 0 below the smallest one, and -1 in the uncertain band between."""
        thresholds = self.draw(pseudo)
        foreground, background = pseudo >= thresholds.amax(dim=0), pseudo < thresholds.amin(dim=0)
        return torch.where(foreground | background, foreground.to(pseudo.dtype), IGNORE)


def _is_range(pair: Sequence[float]) -> bool:
    return len(pair) == 2 and all(isinstance(value, float | int) for value in pair) and 0 < pair[0] <= pair[1] <= 1


def otsu(maps: Tensor, number: int) -> Tensor:
    """Return the thresholds that split the values of each map [B, …] into classes of least variance, [number, B].

    Two thresholds make three classes: background, uncertain, foreground. Among equal splits, the widest band wins, so
    a map of one value in the middle is uncertain as a whole. Otsu, IEEE TSMC 1979; Liao et al., "A Fast Algorithm for
    Multilevel Thresholding", 2001.

    Args:
        maps: Values in [0, 1].
        number: 1 or 2; thresholds fall.
    """
    flat = maps.flatten(1).float()
    share = torch.stack([(flat < edge / BINS).float().mean(dim=1) for edge in range(BINS)], dim=1)
    share = torch.cat([share, torch.ones_like(share[:, :1])], dim=1)  # of the values below each edge
    center = (torch.arange(BINS, device=maps.device) + 0.5) / BINS
    moment = torch.cat([torch.zeros_like(share[:, :1]), (share.diff(dim=1) * center).cumsum(dim=1)], dim=1)
    mass = share[:, None, :] - share[:, :, None]
    between = (moment[:, None, :] - moment[:, :, None]).square() / mass.clamp_min(torch.finfo(mass.dtype).tiny)
    edges = torch.arange(BINS + 1, device=maps.device) / BINS
    if number == 1:
        score = between[:, 0, :] + between[:, :, -1] - TIE * (edges - 0.5).abs()
        return score[:, 1:-1].argmax(dim=1)[None].add(1) / BINS
    score = between[:, 0, :, None] + between + between[:, None, :, -1] + TIE * (edges[None, :] - edges[:, None])
    inner = score[:, 1:-1, 1:-1]
    ordered = torch.ones_like(inner[0], dtype=torch.bool).triu()
    best = inner.masked_fill(~ordered, -torch.inf).flatten(1).argmax(dim=1)
    side = inner.shape[-1]
    return torch.stack([best % side, best // side]).add(1) / BINS
