"""The store: continuous maps as 16-bit PNG, and a manifest that records how they were made."""

import io
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fovea.runtime.files import make_folder, remove_abandoned, write_bytes, write_json

_DEPTH = 65535
_LAST_CHUNK = b"IEND\xaeB`\x82"  # the end of every complete PNG
_TEXT = "fovea"  # keyword of the text chunk that contains the record of a map
_NOT_IN_MAPS = ("_target_", "folder", "name", "path", "thresholds")  # keys of `labels` and `refine`


def parameters(labels: Mapping[str, Any], refine: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything in the configuration groups `labels` and `refine` that maps depend on, by dotted key."""
    values = {"labels": labels["name"], "refine": refine["name"]}
    for group, config in (("labels", labels), ("refine", refine)):
        values |= {f"{group}.{key}": value for key, value in config.items() if key not in _NOT_IN_MAPS}
    # 70 and 70.0 are the same parameter and must give the same manifest.
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in sorted(values.items())
    }


class Store:
    """A folder with `maps/<id>.png` and `manifest.json`, which need not exist.

    A manifest always describes the maps: writing a map removes it, and it is written last. Each map also carries a
    record in a text chunk of the PNG, so that a run that resumes or shares a store can tell what a map was made from.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._manifest_path = self.path / "manifest.json"

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The content of the manifest; ValueError if it is missing or damaged.

        It has `parameters`, `images` by ID, `unlabeled` (IDs), `failures` by ID, `labels`, hashes and versions.
        """
        path, command = self._manifest_path, f"run fovea-prepare store={self.path}"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ValueError(f"no manifest.json in {self.path}: {command} (or set another store)") from error
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: damaged or unreadable; {command} again") from error
        if isinstance(content, dict):
            content = _with_present_names(content)
        if not _is_manifest(content):
            raise ValueError(f"{path}: not the manifest of a store; {command} again")
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

    def read(self, image_id: str) -> np.ndarray:
        """Return the map of an image, float32 [H, W] in [0, 1]; ValueError if it is missing or damaged."""
        path = self._map_path(image_id)
        try:
            levels = np.array(_image(path))
        except (OSError, ValueError) as error:
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            raise ValueError(f"cannot read {path}: {reason}; run fovea-prepare store={self.path} again") from error
        return levels.astype(np.float32) / np.float32(_DEPTH)

    def write(self, image_id: str, values: np.ndarray, record: Mapping[str, Any] | None = None) -> None:
        """Write the map of an image, [H, W] in [0, 1], in steps of 1/65535, together with a record of plain values."""
        path = self._map_path(image_id)
        levels = np.rint(np.clip(values, 0.0, 1.0) * _DEPTH).astype(np.uint16)
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

    def check(self, parameters: Mapping[str, object]) -> None:
        """Refuse maps that were made with other parameters; raises like `manifest` too."""
        if differences := self.differences(parameters):
            wanted = " ".join(f"{name}={parameters[name]}" for name in differences if name in parameters)
            raise ValueError(
                f"{self.path}: {', '.join(differences.values())}; "
                f"run fovea-prepare {wanted} store=ANOTHER_FOLDER and use that, or set the values of this store"
            )

    def refuse_mixture(self, parameters: Mapping[str, object]) -> None:
        """Before writing, refuse the same; a store without a valid manifest is accepted and checked map by map."""
        try:
            differences = self.differences(parameters)
        except ValueError:
            return
        if differences:
            raise ValueError(f"{self.path}: {', '.join(differences.values())}; set another store or delete this one")

    def differences(self, parameters: Mapping[str, object]) -> dict[str, str]:
        """Return the parameters in which the store differs, each with a phrase; raises like `manifest`."""
        stored = self.manifest["parameters"]
        differ = [name for name in sorted({*parameters, *stored}) if parameters.get(name) != stored.get(name)]
        return {
            name: f"{name} is {parameters.get(name)} here but the store has {stored.get(name)}"
            for name in differ
            if name.partition(".")[0] == name or name.partition(".")[0] not in differ  # another refiner has other keys
        }

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
        for name in ("manifest.json", "quality.csv", "quality.html"):
            (self.path / name).unlink(missing_ok=True)
        self.__dict__.pop("manifest", None)

    def _map_path(self, image_id: str) -> Path:
        """Return the path of a map; IDs come from outside and must not lead out of the folder."""
        if not image_id or image_id.startswith(".") or any(character in image_id for character in "/\\\0"):
            raise ValueError(f"{self.path}: {image_id!r} is not an image ID; IDs are file stems without a folder")
        return self.path / "maps" / f"{image_id}.png"


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


def _is_manifest(content: object) -> bool:
    types = {"parameters": dict, "images": dict, "unlabeled": list, "failures": dict}
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(key), expected) for key, expected in types.items())
        and all(isinstance(image_id, str) for image_id in content["unlabeled"])
    )
