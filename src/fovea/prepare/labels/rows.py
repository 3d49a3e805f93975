"""Labels that are rows of a file: boxes and points."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from fovea.data.names import Names
from fovea.data.table import Annotations, no_match, read_rows

Unit = Literal["pixels", "fractions"]
"""Of coordinates, from the left and the top edge of the image to the right and the bottom edge."""

_ROUNDING = 0.01  # of fractions
_TOLERANCE = 1.0  # pixels that a coordinate may be outside the image; programs round differently


class Row(NamedTuple):
    """One row: the name of the image, numbers, its place in the file, and the image size and category if stated."""

    name: str
    values: list[float]
    place: str
    size: tuple[int, int] | None = None
    category: str = ""


@dataclass(frozen=True)
class Rows:
    """The rows of one image: numbers, float64 [N, C], their places in the file, and height and width as stated."""

    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    places: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int] | None, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def statistics(self) -> dict[str, float]:
        """Return the number of rows."""
        return {"rows": len(self)}

    def tobytes(self) -> bytes:
        """Return the numbers, with the size stated first, as bytes."""
        return np.append(self.values, [size for size in self.sizes[:1] if size]).astype("<f8").tobytes()

    def pixels(self, columns: int, size: tuple[int, int], unit: Unit, path: str) -> np.ndarray:
        """Return the first `columns` numbers, x and y in turn, in pixels of the image, [N, columns].

        A ValueError if one is outside the image, or in fractions where pixels are expected, or another size is stated.
        """
        given, (height, width) = self.values[:, :columns], size
        for stated, place in zip(self.sizes, self.places, strict=True):
            if stated not in (None, size):
                where = f"the image is {width} x {height} pixels, but here {stated[1]} x {stated[0]}"
                raise ValueError(f"{path}: {place}: {where}; export the boxes of this image again")
        if unit == "pixels" and given.max() < 1 + _ROUNDING:
            fix = "set labels.unit=fractions if they are, or delete the line if it marks the first pixel"
            raise ValueError(f"{path}: {self.places[0]}: numbers up to 1 look like fractions; {fix}")
        sides = np.tile([width, height], columns // 2)
        pixels = given * (sides if unit == "fractions" else 1)
        if len(outside := np.flatnonzero(((pixels < -_TOLERANCE) | (pixels > sides + _TOLERANCE)).any(axis=1))):
            place, numbers = self.places[outside[0]], ", ".join(f"{number:g}" for number in given[outside[0]])
            where = f"{numbers} ({unit}) is outside the image of {width} x {height} pixels"
            turned = given[outside].reshape(len(outside), -1, 2)[..., ::-1]
            if unit == "pixels" and ((turned >= 0) & (turned <= (width, height))).all():
                where += ", but inside with x and y in the other order"
            raise ValueError(f"{path}: {place}: {where}; correct it, or labels.unit")
        return np.clip(pixels, 0, sides)


def from_csv(path: str | Path, columns: Sequence[str], categories: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a CSV: the first column has the name of the image, the others have numbers.

    `categories` are names of a further column, in any case, which may be there.
    """
    name, *numbers = columns
    for row in read_rows(Path(path).expanduser(), columns, categories):
        values = [row.number(each) for each in numbers]
        category = [row.cells[row.columns[each]].strip() for each in categories if each in row.columns]
        yield Row(row.cells[row.columns[name]], values, f"line {row.line}", None, *category)


def by_image(path: str | Path, rows: Iterable[Row], ids: Iterable[str], what: str) -> Annotations:
    """Return the rows of each image, in their order; ValueError if none belongs to an image."""
    path, unknown = Path(path).expanduser(), 0
    names = Names(ids, path)
    found: dict[str, list[Row]] = {}
    for row in rows:
        if image_id := names(row.name):
            found.setdefault(image_id, []).append(row)
        else:
            unknown += 1
    if not found:
        raise no_match(path, unknown, names, what)
    images = {
        image_id: Rows(
            np.array([row.values for row in some]), *zip(*((row.place, row.size) for row in some), strict=True)
        )
        for image_id, some in sorted(found.items())
    }
    return Annotations(images, Rows(), what, sum(map(len, images.values())), {"unknown_image": unknown})
