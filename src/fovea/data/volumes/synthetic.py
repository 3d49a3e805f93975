"""Generated cases of several modalities, for demos and tests without downloads."""

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
from pydantic import Field
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from fovea.data.generated import draw_once
from fovea.data.volumes.pairs import KEYS, Pairs
from fovea.runtime.bounds import Count, NonNegative, NonNegativeInt, Positive
from fovea.runtime.files import write_json

LABELS = ("background", "crescent", "ring", "ball")
# Brightness of air, body, distractor, crescent, ring and ball. Their order differs between the modalities.
CONTRASTS = ((0.0, 0.4, 0.65, 0.7, 0.3, 0.9), (0.0, 0.5, 0.4, 0.25, 0.65, 0.35), (0.0, 0.6, 0.75, 0.85, 0.5, 0.4))
_LABEL = np.array([0, 0, 0, 1, 2, 3], np.uint8)  # of air, body, distractor, crescent, ring and ball
_GRIDS = ((1.0, 1.0), (1.1, 0.75), (0.9, 1.25))  # sides in plane and across of each modality, relative to `voxel`
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = 2
Three = Field(min_length=3, max_length=3)


class SyntheticPairs(Pairs):
    """`Pairs` that are drawn into `root` on first use: `dataset.json`, `images/` and `masks/`.

    A case has one anatomy of ellipsoids: a ball in a ring, a crescent beside them, and distractors. The modalities
    differ in contrast, texture, spacing and position; the second one is stored in another orientation. Unlabeled cases
    have no masks. A case does not depend on the number of cases. `configs/data/paired_synthetic.yaml` describes the
    arguments, see also `draw_once`; one to three modalities can be drawn.
    """

    def __init__(
        self,
        root: str | Path,
        drawn: Sequence[str],
        labeled: Count,
        unlabeled: NonNegativeInt,
        validation: NonNegativeInt,
        testing: NonNegativeInt,
        shape: Annotated[Sequence[Annotated[int, Field(strict=True, ge=4, le=1024)]], Three],
        voxel: Annotated[Sequence[Positive], Three],
        shift: NonNegative,
        seed: NonNegativeInt,
        **pairs: Any,
    ) -> None:
        if not 1 <= len({*drawn}) == len(drawn) <= len(CONTRASTS) or not all(map(_NAME.fullmatch, map(str, drawn))):
            raise ValueError(f"drawn must be one to three different names of letters and digits, got {drawn}")
        counts = dict(zip(KEYS.values(), (labeled, unlabeled, validation, testing), strict=True))
        grid: dict[str, Any] = {"shape": [*shape], "voxel": [*voxel], "shift": shift, "seed": seed}
        parameters = {"modalities": [*drawn], "counts": counts, "version": _VERSION, **grid}
        draw_once(Path(root).expanduser(), parameters, partial(_fill, names=drawn, counts=counts, **grid))
        super().__init__(root, **pairs)


def draw(
    key: Sequence[int], modality: int, shape: Sequence[int], voxel: Sequence[float], shift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image int16 [X, Y, Z], mask uint8 [X, Y, Z], affine [4, 4] to RAS in mm) of one modality, 0 to 2.

    The anatomy depends only on the seeds of the case, `key`. The first modality is never shifted.
    """
    rng = np.random.default_rng([*key, 1 + modality])
    in_plane, across = _GRIDS[modality]
    steps = np.multiply(voxel, (in_plane, in_plane, across))
    extent = np.multiply(shape, voxel)
    counts = np.maximum(np.round(extent / steps).astype(int), 1)
    axes = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(counts, steps, strict=True)]
    direction = rng.standard_normal(3)
    moved = direction / np.linalg.norm(direction) * rng.random() * (shift if modality else 0)
    places = np.stack(np.meshgrid(*axes, indexing="ij")) - moved[:, None, None, None]
    tissue = _anatomy(np.random.default_rng([*key, 0]), 2 * places / extent[:, None, None, None])
    image, mask = _scan(rng, tissue, CONTRASTS[modality]), _LABEL[tissue]
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = [axis[0] for axis in axes]
    if modality == 1:  # stored as LPS; the grid is symmetric about the origin
        image, mask = np.ascontiguousarray(image[::-1, ::-1]), np.ascontiguousarray(mask[::-1, ::-1])
        affine[:2] *= -1
    return image, mask, affine


def _anatomy(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Return the number of the tissue, uint8, at places [3, X, Y, Z] in [-1, 1]; see `CONTRASTS`."""
    tissue = _inside(places, np.zeros(3), rng.uniform(0.8, 0.98, 3) * (1, 1, 2)).astype(np.uint8)
    for _ in range(4):
        angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 0.7)
        center = np.array([away * math.cos(angle), away * math.sin(angle), rng.uniform(-0.6, 0.6)])
        tissue[_inside(places, center, rng.uniform(0.08, 0.2, 3)) & (tissue > 0)] = 2
    center, radii = rng.uniform(-0.2, 0.2, 3), rng.uniform((0.3, 0.3, 0.5), (0.42, 0.42, 0.8))
    angle = rng.uniform(-0.8, 0.8)
    beside = center + 0.9 * radii * (math.cos(angle), math.sin(angle), 0)
    tissue[_inside(places, beside, 0.9 * radii)] = 3
    tissue[_inside(places, center, radii)] = 4
    tissue[_inside(places, center, rng.uniform(0.5, 0.65) * radii)] = 5
    return tissue


def _inside(places: np.ndarray, center: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return whether places [3, ...] are in an ellipsoid."""
    return (((places.T - center) / radii) ** 2).sum(axis=-1).T < 1


def _scan(rng: np.random.Generator, tissue: np.ndarray, contrast: Sequence[float]) -> np.ndarray:
    """Return an int16 image of tissues: texture, uneven gain, partial volumes and noise."""
    levels = np.array(contrast) + rng.normal(0, 0.03, len(contrast))
    texture, gain = (gaussian_filter(rng.standard_normal(tissue.shape), sigma) for sigma in (1, 10))
    value = gaussian_filter(levels[tissue] + 0.08 * (tissue > 0) * texture / texture.std(), (0.6, 0.6, 0.3))
    value = value * (1 + 0.12 * gain / max(gain.std(), 1e-9)) + 0.04 * rng.standard_normal(tissue.shape)
    return np.round(rng.uniform(400, 900) * np.abs(value)).astype(np.int16)


def _fill(folder: Path, names: Sequence[str], counts: dict[str, int], seed: int, **grid: Any) -> None:
    listed: dict[str, Any] = {"labels": {str(label): name for label, name in enumerate(LABELS)}, "modalities": [*names]}
    listed |= {group: [] for group in counts}
    cases = [(group, index) for group, count in counts.items() for index in range(count)]
    for group, index in tqdm(cases, desc="draw", unit="case", delay=2):
        entry = {}
        for modality, name in enumerate(names):
            image, mask, affine = draw([seed, [*counts].index(group), index], modality, **grid)
            arrays = {"img": image} if group == KEYS["unlabeled"] else {"img": image, "mask": mask}
            for what, array in arrays.items():
                path = f"{'images' if what == 'img' else 'masks'}/{group}_{index:03d}_{name}.nii.gz"
                (folder / path).parent.mkdir(exist_ok=True)
                volume = nib.Nifti1Image(array, affine)
                volume.header.set_xyzt_units("mm")
                nib.save(volume, folder / path)
                entry[f"{what}_{name}"] = path
        listed[group].append(entry)
    write_json(folder / "dataset.json", listed)
