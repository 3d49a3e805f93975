"""Splits: which images train, which choose the checkpoint, and which are read once at the end."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from unicodedata import normalize

from fovea.data.names import Names, plain_id
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256

EVALUATED = ("train", "val", "test")
"""The splits that an evaluation may read."""


def carve(
    ids: Iterable[str], fraction: float, seed: int, patient: Callable[[str], str] = str, kept: bool = True
) -> tuple[list[str], list[str]]:
    """Return the ids of the patients that are kept, and of those drawn by a hash of their ID and the seed, both sorted.

    The number is rounded, but if the fraction in [0, 1) is above 0, at least one patient is drawn, and with `kept` one
    is kept. By default each image is a patient. The order of the ids does not matter.
    """
    patients = {name: patient(name) for name in ids}
    ranked = _ranked(patients.values(), seed)
    count = round(len(ranked) * fraction)
    if fraction > 0:
        count = min(max(count, 1), max(len(ranked) - kept, 0))
    return _parted(patients, ranked[:count])


def carve_fold(
    ids: Iterable[str], number: int, folds: int, seed: int, patient: Callable[[str], str] = str
) -> tuple[list[str], list[str]]:
    """Return the ids of the other folds and of this one, counted from 0, both sorted.

    Each patient is in exactly one fold, and folds differ by at most one patient. With fewer patients than folds, a
    ValueError is raised.
    """
    patients = {name: patient(name) for name in ids}
    ranked = _ranked(patients.values(), seed)
    if len(ranked) < folds:
        raise ValueError(f"data.fold: {len(ranked)} patients or images cannot make {folds} folds; set fewer")
    return _parted(patients, ranked[number::folds])


def check_fold(fold: Sequence[int]) -> None:
    """Refuse a fold that is not [k, n]."""
    numbers = isinstance(fold, Sequence) and [type(number) for number in fold] == [int, int]
    if not numbers or fold[1] < 2 or not 0 <= fold[0] < fold[1]:
        raise ValueError(f"fold must be [k, n] with k from 0 to n - 1, e.g. [0,5], got {fold}")


def _ranked(patients: Iterable[str], seed: int) -> list[str]:
    return sorted(set(patients), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _parted(patients: Mapping[str, str], drawn: Sequence[str]) -> tuple[list[str], list[str]]:
    chosen = {*drawn}
    kept, taken = (sorted(i for i in patients if (patients[i] in chosen) == wanted) for wanted in (False, True))
    return kept, taken


def published(name: str) -> list[str]:
    """Return the ids of a published list that fovea ships, e.g. `kvasir_train`."""
    return (files("fovea.data") / "lists" / f"{name}.txt").read_text(encoding="utf-8").split()


def read_list(path: Path, known: Collection[str] = ()) -> list[str]:
    """Return the ids in a list: one name per line, see `fovea.data.names`.

    Blank lines and lines that begin with `# ` are skipped, unless an image has that name. A name that means none of the
    ids on disk, `known`, keeps its `plain_id`. A ValueError if the file cannot be read, or has an id twice, or a line
    without a name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text; write one id per line") from error
    names, ids = Names(known, path), []
    for line in filter(str.strip, lines):
        text = normalize("NFC", line.strip())
        if re.match(r"#+(\s|$)", text) and not {text, text.rpartition(".")[0]} & {*known}:
            continue
        if not (image_id := names(line.rstrip("\r")) or plain_id(line)):
            raise ValueError(f"{path}: {text!r} is not a file name; write one id per line")
        ids.append(image_id)
    if len(set(ids)) < len(ids):
        repeated = dict.fromkeys(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"{path}: listed more than once: {first_few(repeated)}; keep one line for each")
    return ids


def check_split(name: str) -> None:
    """Raise a ValueError unless `name` is train, val or test."""
    if name not in EVALUATED:
        raise ValueError(f"split={name} is not a split; choose {', '.join(EVALUATED)}")


def chosen_split(splits: Mapping[str, list[str]], name: str, fix: str) -> list[str]:
    """Return the ids of the split train, val or test; refuse a split without ids, with `fix` in the error."""
    check_split(name)
    if not splits[name]:
        raise ValueError(f"split={name}: {fix}")
    return splits[name]


def check_disjoint(splits: Mapping[str, Sequence[str]], patient: Callable[[str], str] = str) -> None:
    """Refuse patients that are in two splits; by default each image is a patient."""
    home: dict[str, str] = {}
    for split, ids in splits.items():
        if nobody := [name for name in ids if patient(name) in (None, "")]:
            raise ValueError(f"{first_few(nobody)}: patient(…) of the data set names no patient; return the id instead")
        patients = dict.fromkeys(map(patient, ids))
        if shared := [name for name in patients if home.setdefault(name, split) != split]:
            others = " and ".join(dict.fromkeys(home[name] for name in shared))
            fix = "list each image, and all images of a patient, in one split"
            raise ValueError(f"both in {others} and in {split}: {first_few(shared)}; {fix}")


def of_patients(ids: Iterable[str], others: Iterable[str], patient: Callable[[str], str]) -> list[str]:
    """Return the ids of images whose patients have an image among others, e.g. that a network was trained on."""
    seen = {*map(patient, others)}
    return [image_id for image_id in ids if patient(image_id) in seen]


def same_files(splits: Mapping[str, Iterable[Path]]) -> list[list[tuple[str, Path]]]:
    """Return groups of files with equal bytes in more than one split, as (split, path), in the order of the splits.

    Only files with the same size are opened, and only files that then share some bytes are read. The same picture in
    another format, size or quality is not found, and files that cannot be read are skipped.
    """
    groups = [[(split, path) for split, paths in splits.items() for path in paths]]
    for key in (lambda path: path.stat().st_size, _middle, sha256):
        groups = [part for group in groups for part in _grouped(group, key) if len({split for split, _ in part}) > 1]
    return groups


def _grouped(group: list[tuple[str, Path]], key: Callable[[Path], object]) -> Iterable[list[tuple[str, Path]]]:
    parts: dict[object, list[tuple[str, Path]]] = {}
    for split, path in group:
        with suppress(OSError):
            parts.setdefault(key(path), []).append((split, path))
    return parts.values()


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(4096)
