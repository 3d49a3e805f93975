"""The pseudo-mask store: continuous maps as 16-bit PNG, and a manifest that says how they were made."""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fovea.runtime.files import make_folder, remove_abandoned, unwritable, write_bytes, write_json

_DEPTH = 65535
_LAST_CHUNK = b"IEND\xaeB`\x82"  # what every whole PNG ends with; older decoders return half an image without it
_HEADER = 33  # bytes of signature and IHDR, the first chunk of every PNG
_KEYWORD = b"fovea\0"
_RECORD = 1 << 16  # bytes at the start of a file that hold its record
_ABOUT_MAPS = ("manifest.json", "quality.csv", "quality.html")
# The fastest of what OpenCV and Pillow offer on these smooth maps, and nearly the smallest (benchmarks/store.py).
_ENCODING = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)


class Store:
    """A folder of `maps/<id>.png` and `manifest.json`.

    Where there is a manifest, the maps are as it says: writing a map takes it away, and it is written last. Each map
    carries a record of its own (a text chunk of the PNG), so that whoever goes on with an interrupted store, or shares
    one with other processes, knows what a map was made of without any file but the map itself.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """What `finish` wrote: `parameters`, `images` by id, `without_fixations`, `failures`, hashes and versions.

        Raises:
            ValueError: it is missing, unreadable or not a manifest.
        """
        path = self._manifest_path
        mend = f"run fovea-prepare store={self.path}"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ValueError(f"no manifest.json in {self.path}: {mend} (or name another store)") from error
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: damaged or unreadable; {mend} again") from error
        if not _is_manifest(content):
            raise ValueError(f"{path}: not the manifest of a store; {mend} again")
        for image_id in [*content["images"], *content["without_fixations"]]:
            self._map_path(image_id)
        return content | {"parameters": renamed(content["parameters"])}

    @property
    def ids(self) -> list[str]:
        """The images with a map, sorted; see `manifest` for errors."""
        return sorted(self.manifest["images"])

    @property
    def without_fixations(self) -> list[str]:
        """The images that nobody looked at, sorted: they have no map. See `manifest` for errors."""
        return sorted(self.manifest["without_fixations"])

    def has(self, image_id: str) -> bool:
        """Whether the store has a map of an image; see `manifest` for errors."""
        return image_id in self.manifest["images"]

    def read(self, image_id: str) -> np.ndarray:
        """The map of an image, float32 [H, W] in [0, 1].

        Raises:
            ValueError: it is missing or damaged.
        """
        path = self._map_path(image_id)
        mend = f"run fovea-prepare store={self.path} again"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; {mend}") from error
        whole = data.endswith(_LAST_CHUNK)
        levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
        if levels is None or levels.dtype != np.uint16 or levels.ndim != 2:
            raise ValueError(f"{path}: {'not a 16-bit grey PNG' if whole else 'truncated'}; {mend}")
        return levels.astype(np.float32) / np.float32(_DEPTH)

    def write(self, image_id: str, values: np.ndarray, record: Mapping[str, Any] | None = None) -> None:
        """Write the map of an image, [H, W] in [0, 1], in steps of 1/65535, with a record of plain values.

        Raises:
            ValueError: it cannot be written.
        """
        levels = np.rint(np.clip(values, 0.0, 1.0) * _DEPTH).astype(np.uint16)
        png = cv2.imencode(".png", levels, _ENCODING)[1].tobytes()
        path = self._map_path(image_id)
        # Before and after: another process may write a manifest of its own in between.
        self._retract()
        write_bytes(path, _with_text(png, json.dumps(record or {}, sort_keys=True)))
        self._retract()

    def record(self, image_id: str) -> dict[str, Any] | None:
        """What `write` was given with the map of an image; None where there is no whole map, or one from elsewhere."""
        try:
            with self._map_path(image_id).open("rb") as file:
                head = file.read(_RECORD)
                file.seek(-len(_LAST_CHUNK), os.SEEK_END)
                whole = file.read() == _LAST_CHUNK
        except OSError:
            return None
        return _text(head) if whole else None

    def check(self, parameters: Mapping[str, object]) -> None:
        """Make sure that the maps were made with these parameters.

        Raises:
            ValueError: they were not; each difference is named. See `manifest` for more.
        """
        if differences := self.differences(parameters):
            wanted = " ".join(f"{name}={parameters[name]}" for name in differences if name in parameters)
            raise ValueError(
                f"{self.path}: {', '.join(differences.values())}; "
                f"run fovea-prepare {wanted} store=ANOTHER_FOLDER and use that, or set what this store has"
            )

    def refuse_mixture(self, parameters: Mapping[str, object]) -> None:
        """Before writing: make sure that what lies there was not made with other parameters.

        Raises:
            ValueError: it was. Without a manifest, or with a damaged one, whatever lies there is made anew.
        """
        try:
            differences = self.differences(parameters)
        except ValueError:
            return
        if differences:
            raise ValueError(f"{self.path}: {', '.join(differences.values())}; name another store, or remove this one")

    def differences(self, parameters: Mapping[str, object]) -> dict[str, str]:
        """The parameters in which the store differs, each with a phrase that says how; see `manifest` for errors."""
        stored = self.manifest["parameters"]
        return {
            name: f"{name} is {parameters.get(name)} here but the store has {stored.get(name)}"
            for name in sorted({*parameters, *stored})
            if parameters.get(name) != stored.get(name)
        }

    def start(self) -> None:
        """Make the folder, and remove what killed processes left half-written.

        Raises:
            ValueError: the folder cannot be written.
        """
        make_folder(self.path / "maps")
        try:
            for folder in (self.path, self.path / "maps"):
                remove_abandoned(folder)
        except OSError as error:
            raise unwritable(self._manifest_path, error) from error
        self.__dict__.pop("manifest", None)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest. A map that it does not list is no part of the store, and is left alone.

        Args:
            manifest: see `manifest`; plain values only.

        Raises:
            ValueError: a file cannot be written.
        """
        for image_id in manifest["images"]:
            self._map_path(image_id)
        write_json(self._manifest_path, manifest)
        self.__dict__.pop("manifest", None)

    def _retract(self) -> None:
        """Take away whatever says what the maps are: it is about to be true no more."""
        try:
            for name in _ABOUT_MAPS:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self._manifest_path, error) from error
        self.__dict__.pop("manifest", None)

    @property
    def _manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def _map_path(self, image_id: str) -> Path:
        """Where the map of an id lies; ids come from outside and may not lead out of the folder."""
        if not image_id or image_id.startswith(".") or any(character in image_id for character in "/\\\0"):
            raise ValueError(f"{self.path}: {image_id!r} is no image id; ids are file stems without a folder")
        return self.path / "maps" / f"{image_id}.png"


def _with_text(png: bytes, text: str) -> bytes:
    """The PNG with a text chunk after its header."""
    body = b"tEXt" + _KEYWORD + text.encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_HEADER] + chunk + png[_HEADER:]


def _text(png: bytes) -> dict[str, Any] | None:
    """The record that `_with_text` put in; None where there is none, or it is damaged."""
    with suppress(struct.error, ValueError):
        (length,) = struct.unpack_from(">I", png, _HEADER)
        body = png[_HEADER + 4 : _HEADER + 8 + length]
        (checksum,) = struct.unpack_from(">I", png, _HEADER + 8 + length)
        if body.startswith(b"tEXt" + _KEYWORD) and zlib.crc32(body) == checksum:
            found = json.loads(body[4 + len(_KEYWORD) :])
            return found if isinstance(found, dict) else None
    return None


def renamed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a manifest, by today's keys where it was written with older ones."""
    if not any(key.startswith("gaze.") for key in parameters):
        return dict(parameters)
    new = {"labels": "gaze"}
    for key, value in parameters.items():
        name = key.removeprefix("gaze.")
        crf = name.removeprefix("crf.")
        new["refine" if crf == "backend" else f"refine.{crf}" if crf != name else f"labels.{name}"] = value
    return new


def _is_manifest(content: object) -> bool:
    shape = {"parameters": dict, "images": dict, "without_fixations": list, "failures": dict}
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(key), kind) for key, kind in shape.items())
        and all(isinstance(image_id, str) for image_id in content["without_fixations"])
    )
