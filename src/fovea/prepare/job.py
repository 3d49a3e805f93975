"""One image: from its fixations to its map in the store."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fovea.data.fixations import Fixations
from fovea.data.images.folder import Folder
from fovea.data.parameters import Parameters
from fovea.data.store import Store
from fovea.prepare.labels.heatmap import heatmap
from fovea.prepare.quality import measure
from fovea.prepare.refiners.crf import refine
from fovea.runtime.files import sha256


@dataclass(frozen=True)
class Look:
    """The fixations on an image, and whether its mask may be opened to measure their quality."""

    image_id: str
    fixations: Fixations
    masked: bool


@dataclass(frozen=True)
class View:
    """One image, and what was made of the looks at it.

    Attributes:
        image: uint8 [H, W, 3], or [H, W, 1] for grey.
        fixations: those on the image.
        heat: the heatmap, float32 [H, W] in [0, 1].
        refined: the map in the store, likewise.
        mask: uint8 [H, W], 0 is background; None where it was not opened.
    """

    image: np.ndarray
    fixations: Fixations
    heat: np.ndarray
    refined: np.ndarray
    mask: np.ndarray | None


@dataclass(frozen=True)
class Done:
    """What is known of an image's map: figures for the manifest and, where it was asked for, its quality."""

    statistics: Mapping[str, Any]
    quality: Mapping[str, float] | None


@dataclass(frozen=True)
class Job:
    """Makes the map of any image, unless the store has it; it travels to each process once.

    Attributes:
        dataset: the images.
        store: where the maps go.
        parameters: of the maps.
        versions: of what makes them; a map of other versions is made anew.
        thresholds: where the quality is measured; None for no quality.
    """

    dataset: Folder
    store: Store
    parameters: Parameters
    versions: Mapping[str, str]
    thresholds: tuple[float, ...] | None

    def __call__(self, look: Look) -> Done | str:
        """Make and write one map; a line where the image is bad.

        Raises:
            ValueError: the store cannot be written, which stops everything.
        """
        refined = None
        try:
            digest = sha256(self.dataset.image_path(look.image_id))
            made_of = self._made_of(digest, look.fixations)
            record = self.store.record(look.image_id)
            if record is None or record.get("made_of") != made_of:
                _, refined = make_map(self.dataset.image(look.image_id), look.fixations, self.parameters)
                record = {"made_of": made_of, **_figures(refined)}
        except (ValueError, OSError) as error:
            return self._line(error)
        if refined is not None:
            self.store.write(look.image_id, refined, record)
        try:
            quality = self._quality(look) if self.thresholds else None
        except ValueError as error:
            return self._line(error)
        return Done({"sha256": digest, **_counts(look.fixations), **record}, quality)

    def view(self, look: Look) -> View:
        """Everything about an image whose map is in the store.

        Raises:
            ValueError: a file is gone or damaged.
        """
        refined = self.store.read(look.image_id)
        return View(
            self.dataset.image(look.image_id),
            look.fixations,
            _heatmap(look.fixations, refined.shape, self.parameters),
            refined,
            self.dataset.mask(look.image_id) if look.masked else None,
        )

    def _quality(self, look: Look) -> dict[str, float]:
        """Measured on the map as it is stored, so that it does not matter which run made it."""
        assert self.thresholds is not None
        refined = self.store.read(look.image_id)
        heat = _heatmap(look.fixations, refined.shape, self.parameters)
        mask = self.dataset.mask(look.image_id) if look.masked else None
        return measure(look.fixations, heat, refined, self.thresholds, mask)

    def _made_of(self, digest: str, fixations: Fixations) -> str:
        """A hash of all that a map depends on: the image's file, the fixations, the parameters and the versions."""
        plain = [digest, self.parameters.flat(), dict(self.versions)]
        made_of = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for values in (fixations.x, fixations.y, fixations.duration):
            made_of.update(np.ascontiguousarray(values, "<f8").tobytes())
        return made_of.hexdigest()

    def _line(self, error: Exception) -> str:
        """The error as a line that names no place of this machine, for the manifest."""
        return " ".join(str(error).replace(f"{self.dataset.root}/", "").split())


def make_map(image: np.ndarray, fixations: Fixations, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Heatmap and pseudo-mask of one image.

    Args:
        image: uint8 [H, W, 3], or [H, W, 1] for grey.
        fixations: those on the image.
        parameters: of both steps.

    Returns:
        The heatmap and the map, float32 [H, W] in [0, 1].
    """
    heat = _heatmap(fixations, (image.shape[0], image.shape[1]), parameters)
    return heat, refine(image, heat, **asdict(parameters.crf))


def _heatmap(fixations: Fixations, size: tuple[int, int], parameters: Parameters) -> np.ndarray:
    where = fixations.x, fixations.y, fixations.duration
    return heatmap(*where, size, parameters.canvas, parameters.sigma)


def _figures(refined: np.ndarray) -> dict[str, float]:
    return {
        "mean": round(float(refined.mean(dtype=np.float64)), 6),
        "above_half": round(float(np.mean(refined >= 0.5)), 6),
    }


def _counts(fixations: Fixations) -> dict[str, float]:
    total = round(float(fixations.duration.sum()), 3)
    return {"fixations": len(fixations), "dropped": fixations.dropped, "duration_ms": total}
