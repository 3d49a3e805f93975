"""Which images train, which choose the checkpoint, and which are read once at the end."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path, PurePath

from fovea.data.images.files import SUFFIXES
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256

EVALUATED = ("train", "val", "test")
"""The splits that an evaluation may read."""


def carve(
    ids: Iterable[str], fraction: float, seed: int, patient: Callable[[str], str] = str
) -> tuple[list[str], list[str]]:
    """Part ids by chance into those kept and those carved out; the images of a patient stay together.

    Each patient is ranked by a hash of its name and the seed, so that the outcome depends neither on the order of the
    ids nor on the version of a random generator.

    Args:
        ids: distinct ids.
        fraction: share of the patients to carve out, in [0, 1); the number is rounded, but is at least 1 and leaves
            at least 1.
        seed: any integer; 0 is a seed like others.
        patient: the patient that an id belongs to; by default every image is one.

    Returns:
        (kept, carved), both sorted.

    Raises:
        ValueError: the fraction is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"a split's fraction is {fraction}; it should be at least 0 and below 1")
    of = {name: patient(name) for name in ids}
    ranked = _ranked(of.values(), seed)
    count = round(len(ranked) * fraction)
    if fraction > 0:
        count = min(max(count, 1), max(len(ranked) - 1, 0))
    out = set(ranked[:count])
    return sorted(name for name in of if of[name] not in out), sorted(name for name in of if of[name] in out)


def carve_fold(
    ids: Iterable[str], number: int, folds: int, seed: int, patient: Callable[[str], str] = str
) -> tuple[list[str], list[str]]:
    """Part ids into all folds but one, and that one; each id is in exactly one, and a patient's images are together.

    Patients are ranked as in `carve` and dealt out in turn, so that the folds differ by one patient at most.

    Args:
        ids: distinct ids.
        number: of the fold to carve out, from 0 on.
        folds: how many there are, at least 2.
        seed: any integer.
        patient: the patient that an id belongs to; by default every image is one.

    Returns:
        (kept, carved), both sorted.

    Raises:
        ValueError: there are fewer patients than folds.
    """
    of = {name: patient(name) for name in ids}
    ranked = _ranked(of.values(), seed)
    if len(ranked) < folds:
        raise ValueError(f"data.fold: {len(ranked)} patients or images cannot make {folds} folds; set fewer")
    out = set(ranked[number::folds])
    return sorted(name for name in of if of[name] not in out), sorted(name for name in of if of[name] in out)


def _ranked(patients: Iterable[str], seed: int) -> list[str]:
    """In an order that depends on the seed and their names alone, not on a random generator's version."""
    return sorted(set(patients), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def published(name: str) -> list[str]:
    """The ids of a published list that comes with fovea, such as `kvasir_train`.

    Raises:
        FileNotFoundError: fovea has no list of this name.
    """
    return (files("fovea.data") / "lists" / f"{name}.txt").read_text(encoding="utf-8").split()


def read_list(path: Path) -> list[str]:
    """The ids in a list: one a line, the suffix of an image file tolerated, blank lines and `#` lines skipped.

    Raises:
        ValueError: the file cannot be read, names an id twice, or names what is no file's stem.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text; it should hold an id a line") from error
    entries = [entry for entry in map(str.strip, lines) if entry and not entry.startswith("#")]
    for entry in entries:
        if any(part in entry for part in ("/", "\\", "..", "\0")):
            raise ValueError(f"{path}: {entry!r} is a path; list the names of images without folders")
    ids = [_stem(entry) for entry in entries]
    if len(set(ids)) < len(ids):
        twice = dict.fromkeys(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"{path}: listed more than once: {first_few(twice)}; keep one line of each")
    return ids


def chosen(splits: Mapping[str, list[str]], name: str, missing: str) -> list[str]:
    """Return the ids of the split train, val or test.

    Args:
        splits: All ids by split.
        name: Of the split.
        missing: What the error says of a split without ids.

    Raises:
        ValueError: another name, or a split without ids.
    """
    if name not in EVALUATED:
        raise ValueError(f"split={name} is not a split; choose {', '.join(EVALUATED)}")
    if not splits[name]:
        raise ValueError(f"split={name}: {missing}")
    return splits[name]


def check_disjoint(splits: Mapping[str, Sequence[str]], patient: Callable[[str], str] = str) -> None:
    """Make sure that no patient stands in two splits; `patient` is that of an id, by default every image is one.

    Raises:
        ValueError: one does.
    """
    home: dict[str, str] = {}
    for split, ids in splits.items():
        patients = dict.fromkeys(map(patient, ids))
        shared = [name for name in patients if home.setdefault(name, split) != split]
        if shared:
            others = " and ".join(dict.fromkeys(home[name] for name in shared))
            mend = "list each image, and all images of a patient, in one split"
            raise ValueError(f"both in {others} and in {split}: {first_few(shared)}; {mend}")


def same_files(splits: Mapping[str, Iterable[Path]]) -> list[list[tuple[str, Path]]]:
    """Groups of files of equal bytes that stand in more than one split, as (split, path), in the order of the splits.

    Quick on many files: only those that share their size are opened, and only those that then share some bytes of
    their middle are read. The same picture in another format, size or quality, or with other metadata, is not found;
    nor is the next frame of a video. Files that cannot be read are passed over.
    """
    groups = [[(split, path) for split, paths in splits.items() for path in paths]]
    for key in (_size, _middle, sha256):
        groups = [part for group in groups for part in _parted(group, key) if len({split for split, _ in part}) > 1]
    return groups


def _parted(group: list[tuple[str, Path]], key: Callable[[Path], object]) -> Iterable[list[tuple[str, Path]]]:
    parts: dict[object, list[tuple[str, Path]]] = {}
    for split, path in group:
        with suppress(OSError):
            parts.setdefault(key(path), []).append((split, path))
    return parts.values()


def _size(path: Path) -> int:
    return path.stat().st_size


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(4096)


def _stem(entry: str) -> str:
    name = PurePath(entry)
    return name.stem if name.suffix.lower() in SUFFIXES else entry
