"""Generated pairs of volumes: a ring around a ball and a crescent beside it, seen by several modalities."""

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from fovea.data.generated import draw_once
from fovea.runtime.files import write_json

LABELS = ("background", "crescent", "ring", "ball")
# Brightness of each tissue: air, fat, flesh, fluid, crescent, ring, ball. No modality's is a function of another's that
# only rises or only falls, not even among the three structures.
CONTRASTS = (
    (0.02, 0.78, 0.45, 0.25, 0.68, 0.36, 0.84),
    (0.02, 0.85, 0.42, 0.66, 0.25, 0.56, 0.40),
    (0.02, 0.30, 0.58, 0.85, 0.42, 0.62, 0.76),
)
_TISSUES = len(CONTRASTS[0])
_LABEL = np.array([0, 0, 0, 0, 1, 2, 3, 0, 0, 0], np.uint8)  # of each tissue, and of those that only look like one
_DEGREES_A_MM = 1.0  # of misalignment
_GRIDS = ((1.0, 1.0), (1.1, 0.75), (0.9, 1.25))  # spacing of each modality in plane and across slices, of what is asked
_GROUPS = {
    "labeled": "training",
    "unlabeled": "unlabeled_training",
    "validation": "validation",
    "testing": "testing",
}
_VERSION = 1


def generate(
    root: Path,
    *,
    modalities: Sequence[str],
    labeled: int,
    unlabeled: int,
    validation: int,
    testing: int,
    shape: Sequence[int],
    voxel: Sequence[float],
    shift: float,
    seed: int,
) -> None:
    """Draw pairs of volumes into `root` unless they stand there: `dataset.json`, `images/`, `masks/`, NIfTI files.

    Every case has an anatomy of its own, the same in all its modalities. Each modality shows it with its own contrast,
    noise, uneven gain, spacing and number of slices; the second one is also stored the other way round (LPS in place of
    RAS). Unlabelled cases have no masks. Each case is the same however many there are. See
    `fovea.data.generated.draw_once` for how jobs that start together get along.

    Args:
        root: the folder to draw into, or one drawn before with the same arguments.
        modalities: one to three names, which become part of keys and of file names.
        labeled: number of labelled cases to train on.
        unlabeled: number of unlabelled ones.
        validation: number of labelled cases to choose on.
        testing: number of labelled cases to test on.
        shape: voxels of the first modality along x, y and z, the slices; theirs vary by one.
        voxel: mm between them; the other modalities differ from it by up to a quarter.
        shift: the second and further modalities are shifted by up to so many mm in any direction, and turned in
            plane by up to as many degrees, with their masks.
        seed: of the drawing.

    Raises:
        ValueError: an argument makes no sense, `root` holds something else, or cannot be written.
    """
    counts = {"labeled": labeled, "unlabeled": unlabeled, "validation": validation, "testing": testing}
    parameters: dict[str, Any] = counts | {
        "modalities": list(modalities),
        "shape": list(shape),
        "voxel": list(voxel),
        "shift": shift,
        "seed": seed,
    }
    _check(parameters, counts)
    draw_once(root.expanduser(), parameters | {"version": _VERSION}, partial(_fill, parameters=parameters))


def draw(
    key: Sequence[int], modality: int, shape: Sequence[int], voxel: Sequence[float], shift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one volume of a case.

    Args:
        key: seeds of the case; its anatomy depends on nothing else.
        modality: its place among the modalities, 0 to 2.
        shape: as for `generate`.
        voxel: as for `generate`.
        shift: as for `generate`; the first modality has none.

    Returns:
        (image int16, mask uint8 with the places in `LABELS`, affine to RAS in mm [4, 4]), both volumes by x, y, z.
    """
    rng = np.random.default_rng([*key, 1 + modality])
    across, slices = _GRIDS[modality]
    steps = np.array(voxel, float) * (across, across, slices)
    extent = np.array(shape) * voxel
    counts = np.maximum(np.round(extent / steps).astype(int) + np.array([0, 0, rng.integers(-1, 2)]), 1)
    axes = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(counts, steps, strict=True)]
    places = np.meshgrid(*axes, indexing="ij", sparse=True)
    moved = _back(rng, places, shift if modality else 0.0)
    half = min(extent[:2]) / 2
    tissue = _anatomy(np.random.default_rng([*key, 0]), moved[0] / half, moved[1] / half, 2 * moved[2] / extent[2])
    image, mask = _scan(rng, tissue, CONTRASTS[modality]), _LABEL[tissue]
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = [axis[0] for axis in axes]
    if modality == 1:
        image, mask = (np.ascontiguousarray(each[::-1, ::-1]) for each in (image, mask))
        affine[:2] = -affine[:2]  # the grid lies evenly around the origin
    return image, mask, affine


def _back(rng: np.random.Generator, places: Sequence[np.ndarray], misalignment: float) -> list[np.ndarray]:
    """Where in the anatomy the places of a misaligned volume lie, in mm."""
    shift = rng.standard_normal(3)
    shift *= misalignment * rng.random() / np.linalg.norm(shift)
    turn = math.radians(_DEGREES_A_MM * misalignment * rng.uniform(-1, 1))
    x, y, z = (place - step for place, step in zip(places, shift, strict=True))
    return [math.cos(turn) * x + math.sin(turn) * y, math.cos(turn) * y - math.sin(turn) * x, z]


def _anatomy(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Tissues at places in [-1, 1], uint8; those from `_TISSUES` on look like one of the structures, but are none.

    The number of draws depends on nothing, so that any grid shows the same anatomy.
    """
    x, y, z = np.broadcast_arrays(x, y, z)
    depth = np.hypot(x / rng.uniform(0.85, 0.98), y / rng.uniform(0.75, 0.9)) + 0.04 * _waves(rng, x, y, z, 3)
    tissue = np.where(depth > 1, 0, np.where(depth > rng.uniform(0.82, 0.92), 1, 2)).astype(np.uint8)
    tissue[(tissue == 2) & (_waves(rng, x, y, z, 4) > rng.uniform(0.9, 1.3))] = 3
    for kind in (1, 3, *range(_TISSUES, _TISSUES + 3), *rng.integers(_TISSUES, _TISSUES + 3, 1)):
        angle, away, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0.45, 0.85), rng.uniform(0.1, 0.22, 3)
        inside = ((x - away * math.cos(angle)) / radius[0]) ** 2 + ((y - away * math.sin(angle)) / radius[1]) ** 2
        tissue[(inside + ((z - rng.uniform(-0.8, 0.8)) / (3 * radius[2])) ** 2 < 1) & (tissue > 1)] = kind
    crescent, ring, ball = _structures(rng, x, y, z)
    for place, structure in enumerate((crescent, ring, ball), start=_TISSUES - 3):
        tissue[structure] = place
    return tissue


def _structures(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Where crescent, ring and ball are: bowls, wide at the high end of z and closed at the low one."""
    length, middle, lean = rng.uniform(0.65, 0.9), rng.uniform(-0.1, 0.1), rng.uniform(-0.15, 0.15, 2)
    along = (z - middle) / length
    width = np.sqrt(np.clip((1 + along) / 2, 0, 1)) * (along <= 1)
    x = x - rng.uniform(-0.2, 0.2) - lean[0] * z
    y = y - rng.uniform(-0.2, 0.2) - lean[1] * z
    turn, stretch = rng.uniform(0, math.pi), rng.uniform(1, 1.2)
    u, v = math.cos(turn) * x + math.sin(turn) * y, math.cos(turn) * y - math.sin(turn) * x
    bend = 1 + sum(rng.normal(0, 0.03) * np.cos(k * np.arctan2(v, u) + rng.uniform(0, 6.3)) for k in (2, 3, 4))
    radius = rng.uniform(0.32, 0.46)
    wall = rng.uniform(0.34, 0.48) * radius * (0.5 + 0.5 * width)
    distance = np.hypot(u / stretch, v * stretch) / bend
    side = math.pi + rng.uniform(-0.8, 0.8)
    offset, reach = rng.uniform(0.85, 1.05) * radius * width, rng.uniform(0.85, 1.05) * radius * width
    beside = np.hypot(x - offset * math.cos(side), y - offset * math.sin(side))
    whole, ball = distance < radius * width, distance < radius * width - wall
    crescent = (beside < reach) & ~whole & (along > rng.uniform(-0.7, -0.4))
    return [crescent, whole & ~ball, ball]


def _waves(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray, frequency: float) -> np.ndarray:
    """Smooth noise of about unit variance, the same at a place whatever the grid."""
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for _ in range(6):
        a, b, c = rng.normal(0, frequency, 3)
        total += np.cos(a * x + b * y + 0.5 * c * z + rng.uniform(0, 2 * math.pi))
    return total / math.sqrt(3)


def _scan(rng: np.random.Generator, tissue: np.ndarray, contrast: Sequence[float]) -> np.ndarray:
    """An image of tissues, int16: texture, uneven gain, edges across voxels, and the noise of a magnitude."""
    levels = np.array([*contrast, *contrast[-3:]])
    levels[:_TISSUES] += rng.normal(0, 0.03, _TISSUES) * (levels[:_TISSUES] > 0.1)
    levels[_TISSUES:] = levels[_TISSUES - 3 : _TISSUES]
    axes = [np.linspace(-1, 1, count, dtype=np.float32) for count in tissue.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    value = levels[tissue] * (1 + 0.05 * _waves(rng, x, y, z, 20))
    value = gaussian_filter(value, (0.6, 0.6, 0.3)) * (1 + 0.15 * _waves(rng, x, y, z, 1.5))
    noise = rng.uniform(0.03, 0.06) * rng.standard_normal((2, *tissue.shape))
    return np.round(rng.uniform(400, 900) * np.hypot(value + noise[0], noise[1])).astype(np.int16)


def _fill(folder: Path, parameters: dict[str, Any]) -> None:
    """Write the volumes and their list into an empty folder."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    names = parameters["modalities"]
    listed: dict[str, Any] = {"labels": {str(k): name for k, name in enumerate(LABELS)}, "modalities": names}
    listed |= {key: [] for key in _GROUPS.values()}
    cases = [(group, index) for group in _GROUPS for index in range(parameters[group])]
    for group, index in tqdm(cases, desc="draw", unit="case", delay=2):
        entry = {}
        for place, name in enumerate(names):
            key = [parameters["seed"], list(_GROUPS).index(group), index]
            image, mask, affine = draw(key, place, *(parameters[each] for each in ("shape", "voxel", "shift")))
            for kind, volume in [("img", image)] + ([("mask", mask)] if group != "unlabeled" else []):
                path = f"{'images' if kind == 'img' else 'masks'}/{group}_{index:03d}_{name}.nii.gz"
                _write(folder / path, volume, affine)
                entry[f"{kind}_{name}"] = path
        listed[_GROUPS[group]].append(entry)
    write_json(folder / "dataset.json", listed)


def _write(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volume, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _check(parameters: dict[str, Any], counts: dict[str, int]) -> None:
    """Refuse arguments that make no sense."""
    names, size, spacing = (parameters[key] for key in ("modalities", "shape", "voxel"))
    if (
        not 1 <= len(names) <= len(CONTRASTS)
        or len(set(names)) < len(names)
        or not all(re.fullmatch(r"[A-Za-z0-9_-]+", str(name)) for name in names)
    ):
        raise ValueError(f"data.dataset: modalities={names}; give one to three different names of letters and digits")
    if min(counts.values()) < 0 or not counts["labeled"]:
        raise ValueError(f"data.dataset: {counts}; give at least 1 labelled case and 0 of the others")
    if len(size) != 3 or min(size[:2]) < 16 or size[2] < 4 or max(size) > 1024:
        raise ValueError(f"data.dataset: shape={size}; give three numbers of voxels: 16, 16 and 4 to 1024 each")
    if len(spacing) != 3 or not all(0 < step < math.inf for step in spacing):
        raise ValueError(f"data.dataset: voxel={spacing}; give three lengths above 0 in mm")
    if not 0 <= parameters["shift"] < math.inf or parameters["seed"] < 0:
        raise ValueError(f"data.dataset: shift={parameters['shift']} seed={parameters['seed']}; give 0 or more")
