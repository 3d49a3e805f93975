"""A simulated annotator who scribbles on the structure and around it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from fovea.runtime.bounds import Fraction, Positive, PositiveFraction
from fovea.simulate.parts import depth, parts

_CELLS = 100  # along the longer side of a part, for its center line
_NEIGHBORS = (  # two slices that pair each cell with a neighbor, and their distance
    (np.s_[:, :-1], np.s_[:, 1:], 1.0),
    (np.s_[:-1], np.s_[1:], 1.0),
    (np.s_[:-1, :-1], np.s_[1:, 1:], 2**0.5),
    (np.s_[:-1, 1:], np.s_[1:, :-1], 2**0.5),
)


@dataclass(frozen=True)
class Scribbles:
    """Draws one stroke in each part of the mask and one around it; see `configs/observer/scribble.yaml`."""

    columns: ClassVar[tuple[str, ...]] = ()

    length: PositiveFraction
    around: PositiveFraction
    width: Positive
    gap: Positive
    smallest: Fraction
    ignore_label: Annotated[int, Field(strict=True, ge=2, le=255)]

    def label(self, file: str, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a picture of 1 on the foreground, 0 on the background and `ignore_label`; empty for an empty mask."""
        found = parts(mask, self.smallest)
        if not found:
            return np.empty((0, 0), np.uint8)
        side, gap = min(mask.shape), self.gap * min(mask.shape)
        rings = around(mask, gap)
        while not rings and gap > 1:  # the mask fills the image
            gap /= 2
            rings = around(mask, gap)
        picture = np.full(mask.shape, self.ignore_label, np.uint8)
        strokes = (1, map(center_line, found), self.length, mask > 0), (0, rings, self.around, mask == 0)
        for value, lines, length, own in strokes:
            drawn = np.zeros(mask.shape, np.uint8)
            for line in lines:
                first = int(rng.random() * (1 - length) * len(line))
                stroke = line[first : first + max(1, round(length * len(line)))]
                cv2.polylines(drawn, [np.repeat(stroke, 2, axis=0)], False, 1, max(1, round(self.width * side)))
            picture[(drawn > 0) & own] = value
        return picture


def center_line(part: np.ndarray) -> np.ndarray:
    """Return the path between the two most distant points of a connected part that keeps to its middle.

    A shortest path whose steps cost more near the boundary: one branch of the skeleton, without its side branches
    (TEASAR, Sato et al. 2000). The part is uint8 [H, W]; the path is int32 [N, 2], x and y.
    """
    left, top, width, height = cv2.boundingRect(part)
    part = part[top : top + height, left : left + width]
    thickness = round(float(depth(part).max()))  # of a vessel, which larger cells would miss
    step = max(1, min(-(-max(width, height) // _CELLS), thickness))
    cells = cv2.resize(part.astype(np.float32), (-(-width // step), -(-height // step)), None, 0, 0, cv2.INTER_AREA)
    inside, deep = cells > 0, depth(cells)
    number = np.cumsum(inside, dtype=np.int32).reshape(inside.shape) - 1  # the paths of older SciPy need 32 bits
    edges = []
    for one, other, distance in _NEIGHBORS:
        both = inside[one] & inside[other]
        pair = number[one][both], number[other][both]
        edges.append((*pair, np.full(len(pair[0]), distance), distance / (deep[one][both] + deep[other][both]) ** 2))
    starts, ends, lengths, costs = map(np.concatenate, zip(*edges, strict=True))
    shape = (int(inside.sum()),) * 2
    by_length, by_cost = (csr_array((weights, (starts, ends)), shape) for weights in (lengths, costs))
    first = int(np.argmax(dijkstra(by_length, directed=False, indices=int(np.argmax(deep[inside])))))
    last = int(np.argmax(dijkstra(by_length, directed=False, indices=first)))
    _, before = dijkstra(by_cost, directed=False, indices=first, return_predecessors=True)
    path = [last]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
    rows, columns = (places[path] for places in np.nonzero(inside))
    return (np.stack([columns, rows], axis=1) * step + step // 2 + (left, top)).astype(np.int32)


def around(mask: np.ndarray, gap: float) -> list[np.ndarray]:
    """Return the lines at the distance `gap` around a mask [H, W], as far as they are in the image, as x and y."""
    pad = int(gap) + 2
    outside = np.pad((mask <= 0).astype(np.uint8), pad, constant_values=1)
    near = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= gap
    contours, _ = cv2.findContours(near.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = []
    for contour in contours:
        line = contour[:, 0] - pad
        seen = ((line >= 0) & (line < mask.shape[::-1])).all(axis=1)
        start = int(np.argmin(seen))  # outside the image, if the line leaves it
        line, seen = np.roll(line, -start, axis=0), np.roll(seen, -start)
        turns = np.flatnonzero(np.diff(seen)) + 1
        inside = [run for run, kept in zip(np.split(line, turns), seen[[0, *turns]], strict=True) if kept]
        lines += [max(inside, key=len)] if inside else []
    return lines
