"""The store: continuous maps as 16-bit PNG, and a manifest that records how they were made."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fovea.metrics.thresholds import DEPTH, quantized
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder, read_mapping, remove_abandoned, sha256, write_bytes, write_json

TOLERANCE = 1e-3  # of values outside [0, 1], which rounding explains
_LAST_CHUNK = b"IEND\xaeB`\x82"  # the end of every complete PNG
_TEXT = "fovea"  # keyword of the text chunk that contains the record of a map
_REPLACED = ("manifest.json", "quality.csv", "quality.html")


class Store:
    """A folder with `maps/<id>.png` and `manifest.json`, which need not exist.

    A manifest always describes the maps: writing a map removes it, and it is written last. Each map also carries a
    record in a text chunk of the PNG, so that a run that resumes or shares a store can tell what a map was made from.
    Errors print what `command` returns: the command line that makes a store at a path.
    """

    def __init__(self, path: str | Path, command: Callable[[Path], str] = "fovea-prepare store={}".format) -> None:
        self.path, self.command = Path(path).expanduser(), command
        self._manifest_path = self.path / "manifest.json"

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The content of the manifest; ValueError if it is missing or damaged.

        It has `parameters`, `images` by ID, `unlabeled` (IDs), `failures` by ID, `labels`, hashes and versions; with
        `refine=model` also `trained_on`, the IDs of the images that the network was trained on.
        """
        path, command = self._manifest_path, f"run {self.command(self.path)}"
        if not path.exists():
            raise ValueError(f"no manifest.json in {self.path}, which fovea-prepare writes last: {command}")
        content = _with_present_names(read_mapping(path))
        types = {"parameters": dict, "images": dict, "unlabeled": list, "failures": dict}
        typed = all(isinstance(content.get(key), expected) for key, expected in types.items())
        if not typed or not all(isinstance(image_id, str) for image_id in content["unlabeled"]):
            raise ValueError(f"{path}: not the manifest of a store, or damaged; {command}")
        for image_id in [*content["images"], *content["unlabeled"]]:
            self._map_path(image_id)
        return content

    @property
    def ids(self) -> list[str]:
        """The sorted IDs of images with a map; raises like `manifest`."""
        return sorted(self.manifest["images"])

    def has(self, image_id: str) -> bool:
        """Return whether the store has a map of an image; raises like `manifest`."""
        return image_id in self.manifest["images"]

    def read(self, image_id: str, described: bool = False) -> np.ndarray:
        """Return the map of an image, float32 [H, W] in [0, 1]; ValueError if it is missing or damaged.

        With `described`, also if it was made again from other inputs since the manifest was read.
        """
        path, fix = self._map_path(image_id), f"run {self.command(self.path)}"
        values = read_map(path, fix)
        made_of = self.manifest["images"][image_id].get("made_of") if described else None
        if made_of is not None and (self.record(image_id) or {}).get("made_of") != made_of:
            raise ValueError(f"{path}: another process has made this map again from other inputs; {fix}")
        return values

    def write(self, image_id: str, values: np.ndarray, record: Mapping[str, Any] | None = None) -> None:
        """Write the map of an image, [H, W] in [0, 1], in steps of 1/65535, together with a record of plain values."""
        path = self._map_path(image_id)
        if not ((values > -TOLERANCE) & (values < 1 + TOLERANCE)).all():  # also one that is not a number
            span = f"{values.min():.3g} to {values.max():.3g}"
            raise ValueError(f"{path}: the map of {image_id} has values from {span}; a refiner returns [0, 1]")
        levels = quantized(values)
        text, png = PngInfo(), io.BytesIO()
        text.add_text(_TEXT, json.dumps(record or {}, sort_keys=True))
        # Run-length encoding: three times as fast as zlib's default on these smooth maps, 12 % larger.
        Image.fromarray(levels).save(png, "PNG", pnginfo=text, compress_level=1, compress_type=3)
        # Before and after: another process may write its manifest in between.
        self._retract()
        write_bytes(path, png.getvalue())
        self._retract()

    def record(self, image_id: str) -> dict[str, Any] | None:
        """Return the record of a map; None if the map is missing, incomplete or has no record."""
        try:
            record = json.loads(_image(self._map_path(image_id)).info[_TEXT])
        except (KeyError, OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def check(
        self,
        parameters: Mapping[str, object],
        labels: str | None = None,
        images: Mapping[str, Path] | None = None,
        weights: str | None = None,
    ) -> None:
        """Refuse maps of other parameters, weights, labels or images; raises like `manifest` too.

        A store may be used alone on another machine, so a file of labels that does not exist is not compared, nor are
        weights of None. Weights and image files whose hashes are not in the manifest are not compared either.
        """
        problems, stored = self.differences(parameters), self.manifest.get("weights")
        if other_weights := weights is not None and stored is not None and weights != stored:
            problems.append("the network of refine has other weights than when its maps were made")
        if self._has_other_labels(labels):
            problems.append(f"labels.path={labels} is not the file that its maps were made from")
        if changed := self._changed(images or {}):
            problems.append(f"the maps of {first_few(changed, 2)} were made for other image files than data.root has")
        if problems:
            again = self.make_another(parameters, labels)
            few = 0 < 2 * len(changed) <= len(images or {})
            if len(problems) == 1 and (other_weights or few):  # fovea-prepare makes these again
                again = f"run {self.command(self.path)}"
            raise ValueError(f"{self.path}: {', '.join(problems)}; set what this store was made with, or {again}")

    def make_another(self, parameters: Mapping[str, object], labels: str | None) -> str:
        """Return the advice to make a store beside this one, with a command that can be pasted."""
        another = self._another(parameters, labels)
        return f"set store={another} and run {self.command(another)}"

    def refuse_mixture(self, parameters: Mapping[str, object], images: Mapping[str, Path], labels: str | None) -> None:
        """Before writing, refuse a store of other parameters, labels or images, and files that are not of a store.

        A store without a valid manifest, but with maps, is accepted and checked map by map. `images` are all image
        files by ID, and `labels` is the file of labels, None if the maps are imported.
        """
        try:
            problems = self.differences(parameters)
        except ValueError:
            self._refuse_foreign()
            return
        imported = "imported" in self.manifest
        if imported != (labels is None):
            problems.append(f"its maps were {'imported' if imported else 'made by fovea-prepare'}")
        elif self._has_other_labels(labels):
            problems.append(f"its maps were made from another file than labels.path={labels}")
        stored = self.manifest["images"]
        different = [*(name for name in stored if name not in images), *self._changed(images)]
        if 2 * len(different) > len(stored):
            problems.append(f"its maps are of other images ({first_few(different, 2)}) than those of data.root")
        if problems:
            another = self._another(parameters, labels)
            raise ValueError(f"{self.path}: {', '.join(problems)}; set store={another}, or delete this one")

    def _refuse_foreign(self) -> None:
        """Refuse a folder with files under the names of a store, none of which is a map with a record."""
        maps = sorted((self.path / "maps").glob("[!.]*.png"))
        present = [path for name in _REPLACED if (path := self.path / name).exists()] + maps
        if present and all(self.record(path.stem) is None for path in maps):
            name = present[0].relative_to(self.path)
            raise ValueError(f"{self.path}: fovea did not write the {name} there; set another store")

    def _has_other_labels(self, labels: str | None) -> bool:
        """Return whether the labels are another file or folder than the manifest's, as far as both are known."""
        about, path = self.manifest.get("labels"), Path(labels or "").expanduser()
        stored = about.get("sha256") if isinstance(about, dict) else None
        return bool(labels) and stored is not None and path.exists() and sha256(path) != stored

    def _changed(self, images: Mapping[str, Path]) -> list[str]:
        """Return the images whose files are not those that the manifest records."""
        stored = {
            name: figures["sha256"]
            for name, figures in self.manifest["images"].items()
            if isinstance(figures, dict) and "sha256" in figures
        }
        return [name for name, path in images.items() if name in stored and sha256(path) != stored[name]]

    def _another(self, parameters: Mapping[str, object], labels: str | None) -> Path:
        """Return the path of a store beside this one, named after what it would be made with."""
        made_with = hashlib.sha256(json.dumps(dict(parameters), sort_keys=True, default=str).encode())
        if labels is not None and (path := Path(labels).expanduser()).exists():
            made_with.update(sha256(path).encode())
        return self.path.with_name(f"{self.path.name}_{made_with.hexdigest()[:8]}")

    def differences(self, parameters: Mapping[str, object]) -> list[str]:
        """Return a phrase for each parameter in which the store differs; raises like `manifest`."""
        stored = self.manifest["parameters"]
        differ = [name for name in sorted({*parameters, *stored}) if parameters.get(name) != stored.get(name)]
        return [
            f"{name} is {parameters.get(name, 'at its default')} here but the store has "
            f"{stored.get(name, 'its default')}"
            for name in differ
            if name.partition(".")[0] == name or name.partition(".")[0] not in differ  # another refiner has other keys
        ]

    def start(self) -> None:
        """Create the folder and remove temporary files of killed processes."""
        make_folder(self.path / "maps")
        for folder in (self.path, self.path / "maps"):
            remove_abandoned(folder)
        self.__dict__.pop("manifest", None)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, plain values. A map that it does not list is not part of the store and is kept."""
        for image_id in manifest["images"]:
            self._map_path(image_id)
        write_json(self._manifest_path, manifest)
        self.__dict__.pop("manifest", None)

    def _retract(self) -> None:
        """Remove the manifest and the quality files, because a map is about to change."""
        for name in _REPLACED:
            (self.path / name).unlink(missing_ok=True)
        self.__dict__.pop("manifest", None)

    def _map_path(self, image_id: str) -> Path:
        """Return the path of a map; IDs come from outside and must not lead out of the folder."""
        if not image_id or image_id.startswith(".") or any(character in image_id for character in "/\\\0"):
            raise ValueError(f"{self.path}: {image_id!r} is not an image ID; IDs are file stems without a folder")
        return self.path / "maps" / f"{image_id}.png"


def read_map(path: Path, fix: str = "run fovea-predict again") -> np.ndarray:
    """Return a map, float32 [H, W] in [0, 1], from a PNG of 16 bits; ValueError if it is missing or damaged."""
    try:
        levels = np.array(_image(path))
    except (OSError, ValueError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"cannot read {path}: {reason}; {fix}") from error
    return levels.astype(np.float32) / np.float32(DEPTH)


def _image(path: Path) -> Image.Image:
    """Open a map without decoding its pixels."""
    data = path.read_bytes()
    if not data.endswith(_LAST_CHUNK):
        raise ValueError("truncated")
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
    except (OSError, SyntaxError):
        image = None
    if image is None or image.mode != "I;16":
        raise ValueError("not a 16-bit gray PNG")
    return image


def _with_present_names(content: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of a manifest from before labels and refiners had groups of their own."""
    content = {{"without_fixations": "unlabeled", "fixations": "labels"}.get(key, key): content[key] for key in content}
    old = content.get("parameters")
    if isinstance(old, dict) and any(key.startswith("gaze.") for key in old):
        names = {key: key.replace("gaze.crf.", "refine.").replace("gaze.", "labels.") for key in old}
        content["parameters"] = {"labels": "gaze"} | {
            name.replace("refine.backend", "refine"): old[key] for key, name in names.items()
        }
    return content
