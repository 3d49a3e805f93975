"""The JSON list of cases: labels, files and splits."""

import json
from collections.abc import Mapping
from os.path import commonprefix
from pathlib import Path, PurePosixPath
from typing import Any

KEYS = {"train": "training", "unlabeled": "unlabeled_training", "val": "validation", "test": "testing"}
"""The keys of the list, by split."""


def read_list(path: Path) -> dict[str, Any]:
    """Read the JSON object that lists the cases."""
    example = "docs/volumes.md has an example"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"data.root: no {path.name} in {path.parent}; {example}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}); {example}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a list of cases must be a JSON object; {example}")
    return content


def read_cases(content: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Return all cases by id, with their split."""
    entries = [(split, entry) for split, key in KEYS.items() for entry in content.get(key) or []]
    if not any(split in ("train", "unlabeled") for split, _ in entries):
        raise ValueError(f"{path}: no case under training; docs/volumes.md has an example")
    for _, entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: {entry!r} is not a case; write an object with img_<modality>")
    prefixes = [commonprefix(_stems(entry)).rstrip("_-+") for _, entry in entries]  # noqa: RUF071 (of names, not paths)
    ids = [str(entry.get("id", prefix)) for prefix, (_, entry) in zip(prefixes, entries, strict=True)]
    if len({*ids}) < len(ids) or not all(ids):
        ids = [str(entry.get("id", "+".join(_stems(entry)))) for _, entry in entries]
    cases: dict[str, dict[str, Any]] = {}
    for case, (split, entry) in zip(ids, entries, strict=True):
        if case in cases:
            raise ValueError(f"{path}: {case} is listed twice; give each case its own id")
        if not case or case.startswith(".") or any(character in case for character in '/\\\0"'):
            raise ValueError(f"{path}: {case!r} is not a valid id; an id is a name without a folder")
        files = {key: _inside(value, path) for key, value in entry.items() if key.startswith(("img_", "mask_", "map_"))}
        cases[case] = {**entry, **files, "split": split}
    return cases


def image_id(case: str, modality: str) -> str:
    """Return the id of one modality of a case, in scores and in the names of predictions."""
    return f"{case}_{modality}"


def _inside(value: Any, path: Path) -> str:
    """Return a path of the list; refuse one that leads out of its folder."""
    relative = PurePosixPath(str(value).replace("\\", "/"))
    parts = relative.parts
    if not isinstance(value, str) or not parts or relative.is_absolute() or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{path}: {value!r} leads out of the folder of the list; give a path below it")
    return str(relative)


def _stems(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the images of a case, without suffixes."""
    return [PurePosixPath(str(value)).name.split(".")[0] for key, value in entry.items() if key.startswith("img_")]
