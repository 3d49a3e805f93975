"""Read mask files; refuse in one line what could be read in more than one way."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fovea.data.images.files import Exif, is_deep_color, opened, pending_turn, turned
from fovea.losses import IGNORE

_NUMBERS = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "F"})
_HALF = 127
_NOISE = 48  # JPEG moves values near edges by less; also the largest difference of channels in a gray JPEG
_FEW = 8  # a lossless mask with so few values has labels or clean edges, otherwise it has the noise of a former JPEG
_REACH = np.ones((17, 17), np.uint8)  # a soft edge and the noise around it have both classes within 8 pixels
_SPECKS = 100  # pixels that a resized mask may have without an edge: remains of foreground thinner than a pixel
_FAR = np.ones((33, 33), np.uint8)  # the noise of a JPEG that was enlarged twice
_NEXT = np.ones((3, 3), np.uint8)


def read_mask(
    path: Path,
    classes: int = 1,
    ignore_label: int | None = None,
    labels: Mapping[int, int] | None = None,
    exif: Exif = "ignore",
    key: str = "data",
) -> np.ndarray:
    """Decode a mask: uint8 [H, W] below max(classes, 2); with an `ignore_label`, int16, and -1 where nobody labeled.

    With one class the mask is binary: 0 and 255, or 0 and 1 in a lossless file. Soft edges and the noise of JPEG are
    cut above 127. Other gray values that fill an area, and colors, may be several structures and are refused. With more
    classes, or with `labels`, the class of each value, the stored integers (of a palette file, its indices) say the
    class. Without `labels`, the values are the classes, and 0 is the background. `exif=apply` turns the mask by its own
    EXIF orientation. A ValueError if the file cannot be decoded, or its values are not those of such a mask; it names
    `ignore_label` under `key`.
    """
    exact = classes > 1 or ignore_label is not None or labels is not None
    with opened(path) as image:
        lossy, mode, deep = image.format in {"JPEG", "MPO"}, image.mode, is_deep_color(image)
        turn = pending_turn(image, exif)
        image.load()  # a TIFF has its final size only then
        pixels = _decoded(turned(image, turn), exact)
    if deep:
        raise ValueError(f"{path}: a mask with 16 bits per color; save it as a gray PNG of 8 bits")
    if exact and lossy:
        raise ValueError(f"{path}: JPEG does not keep labels; save the mask as PNG")
    if exact and pixels.ndim == 3:
        others = f", and {ignore_label} where nobody labeled" if ignore_label is not None else ""
        fix = f"save it in gray or with a palette, as integers below {max(classes, 2)}{others}"
        raise ValueError(f"{path}: a color mask ({mode}) has no labels; {fix}")
    values = _whole(path, pixels) if pixels.ndim == 2 else _gray(path, pixels, lossy)
    if not exact:
        return _binary(path, values, lossy).astype(np.uint8)
    return _labels(path, values, classes, ignore_label, labels, key)


def _decoded(image: Image.Image, exact: bool) -> np.ndarray:
    """Return stored numbers [H, W], or colors [H, W, 3 or 4]."""
    if image.mode == "P" and exact:
        return np.asarray(image)
    transparent = image.has_transparency_data
    if image.mode in _NUMBERS and (exact or not transparent):
        return np.asarray(image).astype(np.uint8) if image.mode == "1" else np.asarray(image)
    colors = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    if image.mode == "P" and not transparent and np.ptp(colors, axis=2).any():
        indices = np.asarray(image)
        black = (image.getpalette("RGB") or [])[:3] == [0, 0, 0]
        return indices if black and indices.max() <= 1 else colors  # black and one color are one structure
    return colors


def _whole(path: Path, values: np.ndarray) -> np.ndarray:
    """Return stored numbers as integers, checked."""
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise ValueError(f"{path}: fractions ({values.min():g} to {values.max():g}); save the mask as 0 and 255")
        values = values.astype(np.int64)
    if values.min() < 0:
        raise ValueError(f"{path}: label {values.min()} is below 0; save the background as 0")
    return values


def _gray(path: Path, pixels: np.ndarray, lossy: bool) -> np.ndarray:
    """Return the gray values of a mask that was saved with color channels; refuse colors and hidden shapes."""
    colors, gray = pixels[..., :3], pixels[..., :3].max(axis=2)
    spread = gray - colors.min(axis=2)
    if spread.max() > (_NOISE if lossy else 0):
        seen, counts = np.unique(colors[spread > 0], axis=0, return_counts=True)
        names = ", ".join(str(tuple(map(int, color))) for color in seen[np.argsort(-counts, kind="stable")][:3])
        fix = "save one structure as 255 on 0 in gray, or the structures as 1, 2, … in a gray PNG and set data.classes"
        raise ValueError(f"{path}: a binary mask (data.classes=1) must have no colors, but has {names}; {fix}")
    if pixels.shape[2] == 4 and pixels[..., 3].min() < 255 and ((pixels[..., 3] > _HALF) != (gray > _HALF)).any():
        raise ValueError(f"{path}: transparency and brightness show different shapes; save the mask in gray, 255 on 0")
    return gray


def _labels(
    path: Path, values: np.ndarray, classes: int, ignore_label: int | None, labels: Mapping[int, int] | None, key: str
) -> np.ndarray:
    """Return the classes of stored integers, checked; see `read_mask`."""
    known = dict(labels) if labels is not None else {label: label for label in range(max(classes, 2))}
    if labels is None and classes == 1:
        seen = {*np.unique(values).tolist()} - {ignore_label}
        known |= {bright: 1 for bright in (255, 65535) if seen <= {0, bright}}
    if ignore_label is not None:
        known[ignore_label] = IGNORE
    unknown = 1000
    table = np.full(max(known) + 2, unknown, np.int16)
    table[[*known]] = [*known.values()]
    mask = table[np.minimum(values.astype(np.int64), len(table) - 1)]
    if len(others := values[mask == unknown]):
        classes_here = ", ".join(map(str, sorted(known)))
        fix = f"set {key}.ignore_label={others[0]} if nobody labeled these pixels"
        fix += ", or name the class in data.labels" if key == "data" else ", or correct them"
        raise ValueError(f"{path}: value {others[0]} is not one of the classes ({classes_here}); {fix}")
    return mask if ignore_label is not None else mask.astype(np.uint8)


def _binary(path: Path, values: np.ndarray, lossy: bool) -> np.ndarray:
    """Return where the foreground of a gray mask is."""
    levels, counts = np.unique(values, return_counts=True)
    highest = int(levels[-1])
    if highest == 0 or (highest == 1 and not lossy) or (highest in {255, 65535} and {*levels[:-1]} <= {0}):
        return values > 0
    if highest > 255 or highest <= _HALF or _structures(values.astype(np.uint8), len(levels) <= _FEW and not lossy):
        most = sorted(int(level) for level in levels[np.argsort(-counts, kind="stable")][:4])
        raise ValueError(
            f"{path}: a binary mask (data.classes=1) has the values 0 and 255 (or 0 and 1), the most frequent of "
            f"{len(levels)} here are {', '.join(map(str, most))}{' and JPEG changes them' if lossy else ''}; "
            "save one structure as 255 on 0. For two or more structures in one file save 0, 1, 2, … as PNG and set "
            "data.classes"
        )
    return values > _HALF


def _structures(values: np.ndarray, clean: bool) -> bool:
    """Return whether values between 0 and 255 fill an area, so that they are neither soft edges nor noise."""
    darkest, brightest = cv2.erode(values, _NEXT), cv2.dilate(values, _NEXT)
    if clean:
        between = (values > 0) & (values < 255)
        edge = between & (darkest < values) & (values < brightest)
        return 2 * int(edge.sum()) < int(between.sum())
    between = (values > _NOISE) & (values < 255 - _NOISE)
    flat = between & (brightest - darkest <= _NOISE // 2)
    darkest, brightest = cv2.erode(values, _REACH), cv2.dilate(values, _REACH)
    alone = between & ((brightest <= 255 - _NOISE) | (darkest > _NOISE))
    faint = (values > 0) & (values <= _NOISE) & (cv2.dilate(values, _FAR) <= _NOISE)  # e.g. ones of a second program
    few = max(_SPECKS, int(between.sum()) // 2)
    return bool(flat.any()) or int(alone.sum()) > few or int(faint.sum()) > _SPECKS
