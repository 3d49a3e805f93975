"""`python examples/slices.py VOLUMES OUT --label 3`: slices of NIfTI volumes and of one structure, for `data=folder`.

`VOLUMES` has `images/` and `masks/` with files of the same names; volumes without a mask are left out. `OUT` gets
`images/<name>_<slice>.png`, `masks/` with the same names, and `patients.csv`, so that no two splits share a patient.
"""

import argparse
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from fovea.data.volumes.grid import difference, slice_axis
from fovea.data.volumes.nifti import SUFFIXES, read_header, read_volume
from fovea.pictures.png import write_image
from fovea.runtime.files import whole_folder, write_csv

Slice = tuple[int, np.ndarray, np.ndarray]  # its number; image and mask, uint8 [H, W]


def main() -> None:
    """Write the data set, and say how many slices it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", type=Path, metavar="VOLUMES", help="folder with images/ and masks/")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; it must not exist")
    parser.add_argument("--label", type=int, nargs="+", required=True, help="values of the structure in the masks")
    parser.add_argument("--names", default="*", help="pattern of the volumes to use, e.g. '*_LGE*'")
    parser.add_argument(
        "--patient", default="[^_]+", help="regular expression: the patient is its first match in a name"
    )
    parser.add_argument("--percentiles", type=float, nargs=2, default=(1.0, 99.0), metavar=("LOW", "HIGH"))
    parser.add_argument(
        "--smallest", type=int, default=1, help="pixels of the structure in a slice; 0 keeps all slices"
    )
    given = parser.parse_args()
    try:
        print(convert(**vars(given)))
    except (ValueError, re.error) as error:
        parser.exit(1, f"{error}\n")


def convert(
    volumes: Path,
    out: Path,
    label: list[int],
    names: str = "*",
    patient: str = "[^_]+",
    percentiles: tuple[float, float] = (1.0, 99.0),
    smallest: int = 1,
) -> str:
    """Write a data set of slices and return what was written; the arguments are those of the command line."""
    if out.exists():
        raise ValueError(f"{out} exists; delete it or choose another folder")
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ValueError(f"percentiles must be two numbers from 0 to 100, low before high, got {percentiles}")
    paths = [path for path in sorted(volumes.glob("images/*")) if path.name.lower().endswith(SUFFIXES)]
    paths = [path for path in paths if fnmatchcase(path.name, names) and (volumes / "masks" / path.name).exists()]
    if not paths:
        raise ValueError(f"{volumes}: no NIfTI file like {names} is both in images/ and in masks/; give another folder")
    rows, patients, names_seen = [], set(), set()
    with whole_folder(out) as folder:
        for path in paths:
            name = path.name[: path.name.lower().rindex(".nii")]
            if name in names_seen:
                raise ValueError(f"{path}: another volume has the name {name}; rename or remove one")
            names_seen.add(name)
            if not (found := re.search(patient, name)):
                raise ValueError(f"{path}: the name has no {patient!r}; give another --patient")
            for number, image, mask in slices(path, volumes / "masks" / path.name, label, percentiles, smallest):
                image_id = f"{name}_{number:03d}"
                write_image(folder / "images" / f"{image_id}.png", image)
                write_image(folder / "masks" / f"{image_id}.png", mask)
                rows.append((f"{image_id}.png", found[0]))
                patients.add(found[0])
        if not rows:
            raise ValueError(f"{volumes}: no slice has {smallest} pixels of the value {label}; give another --label")
        write_csv(folder / "patients.csv", ("IMAGE", "patient"), rows)
    return f"{len(rows)} slices of {len(paths)} volumes and {len(patients)} patients in {out}"


def slices(
    path: Path, mask_path: Path, label: list[int], percentiles: tuple[float, float], smallest: int
) -> Iterator[Slice]:
    """Yield the slices of a volume across its longest voxels, numbered from 0 in RAS, the front or the head up.

    The percentiles are those of the whole volume; they become 0 and 255. Pixels are not resampled.
    """
    header = read_header(path)
    if apart := difference(read_header(mask_path), header):
        raise ValueError(f"{mask_path}: {apart}; replace one of them")
    volume, structure, axis = read_volume(path), np.isin(read_volume(mask_path), label), slice_axis(header)
    low, high = np.percentile(volume, percentiles)
    gray = np.rint(np.clip((volume - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    for number in range(volume.shape[axis]):
        mask = np.rot90(structure.take(number, axis=axis))
        if np.count_nonzero(mask) >= smallest:
            yield number, np.rot90(gray.take(number, axis=axis)), mask.astype(np.uint8) * 255


if __name__ == "__main__":
    main()
