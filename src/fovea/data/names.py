"""From the name of a file to the ID of an image: the one rule for folders, lists, tables and recordings."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from fovea.runtime.errors import nearest

_SUFFIX = re.compile(r"\.(nii\.gz|nii|nrrd|mh[ad]|dcm|ima|png|jpe?g|jpe|jp2|bmp|tiff?|gif|webp|heic|avif|svg)$", re.I)
_QUOTED = re.compile(r"([\"'])(.*)\1", re.DOTALL)


def file_name(recorded: str) -> str:
    """Return the last part of a path of any operating system, in Unicode NFC; empty if it names no file."""
    name = _parts(recorded)[-1]
    return "" if name in (".", "..") else name.replace("\0", "")


def plain_id(recorded: str) -> str:
    """Return the file name without the suffix of an image, which may be in upper case."""
    name = file_name(recorded)
    return _SUFFIX.sub("", name) or name


def check_name(path: Path) -> None:
    """Refuse a file whose name is not UTF-8, since tables and lists cannot have it."""
    if any("\ud800" <= character <= "\udfff" for character in path.name):
        raise ValueError(f"{path.parent}: the file name {os.fsencode(path.name)!r} is not UTF-8; rename the file")


class Names:
    """Find the images that recorded names mean; refuse two names that would merge two files into one image.

    A name means the ID that equals it. Otherwise it means the ID `<folder>_<file>` of its path, with as many folders as
    match, otherwise that of the file alone. Each is tried with and without the suffix. Case, and spaces around
    a name, count only where IDs differ by nothing else. If the IDs are unknown (None), a name means its `plain_id`.
    Errors name `origin`, the file or folder that has the names.
    """

    def __init__(self, ids: Iterable[str] | None, origin: object) -> None:
        self.ids, self.origin = None if ids is None else list(ids), origin
        self.folded: dict[str, dict[str, str]] = {}
        for image_id in self.ids or ():
            name = normalize("NFC", image_id)
            self.folded.setdefault(name.casefold().strip(), {})[name] = image_id
        self.found: dict[str, str | None] = {}
        self.first: dict[str, tuple[str, set[str], set[str]]] = {}  # by ID: its first name; folders and suffixes of all

    def __call__(self, recorded: str) -> str | None:
        """Return the ID that a name means, None if no image has it; ValueError if another file meant the same."""
        if recorded not in self.found:
            self.found[recorded] = self._find(recorded)
        return self.found[recorded]

    def nearest(self, recorded: Iterable[str]) -> str:
        """Return the IDs that are most like names that no image has, for errors."""
        return nearest(map(plain_id, recorded), self.ids or ())

    def _find(self, recorded: str) -> str | None:
        if image_id := self._existing(normalize("NFC", recorded)):
            return image_id  # whatever it looks like
        *folders, name = _parts(recorded)
        if self.ids is None and (image_id := plain_id(recorded)):
            return self._checked(image_id, folders, name[len(image_id) :], recorded)
        for start in range(len(folders) + 1):
            prefix = "".join(f"{folder}_" for folder in folders[start:])
            for stem in dict.fromkeys((name, _SUFFIX.sub("", name), PurePosixPath(name).stem)):
                if image_id := self._existing(prefix + stem):
                    return self._checked(image_id, folders[:start], name[len(stem) :], recorded)
        return None

    def _existing(self, name: str) -> str | None:
        same = self.folded.get(name.casefold().strip(), {})
        return same.get(name) or (next(iter(same.values())) if len(same) == 1 else None)

    def _checked(self, image_id: str, folders: list[str], suffix: str, recorded: str) -> str:
        """Return the ID; refuse a name whose folder or suffix is not that of the others with this ID."""
        first, parents, suffixes = self.first.setdefault(image_id, (recorded, set(), set()))
        parents.update(folder.casefold() for folder in folders[-1:])
        suffixes.add(suffix.casefold())
        stated = suffixes - {""} if all(map(_SUFFIX.fullmatch, suffixes - {""})) else suffixes
        if len(parents) > 1 or len(stated) > 1:
            fix = "give their files different names in data.root, e.g. <folder>_<file>, or import them one by one"
            raise ValueError(f"{self.origin}: {first!r} and {recorded!r} would both be the image {image_id}; {fix}")
        return image_id


def _parts(recorded: str) -> list[str]:
    """Return the folders and the file of a path, with any separator, perhaps in quotes."""
    text = normalize("NFC", recorded.strip())
    quoted = _QUOTED.fullmatch(text)
    parts = re.split(r"[\\/]", quoted[2] if quoted else text)
    return [part.strip() for part in parts if part.strip() not in ("", ".")] or [""]
