"""`examples/slices.py`: volumes become a folder of images that `data=folder` reads."""

from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

from fovea.data.images.folder import Folder

from .conftest import write

convert = run_path(str(Path(__file__).parents[3] / "examples" / "slices.py"))["convert"]
SIDES = (1.0, 1.0, 5.0)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Two patients with two volumes of 4 slices, one without masks; the structure is left and front, in 1 and 2."""
    rng = np.random.default_rng(0)
    mask = np.zeros((8, 6, 4), np.uint8)
    mask[0, 5, 1:3], mask[4:, :3, :] = 3, 1
    for name in ("p1_a", "p1_b", "p2_a", "p2_b", "p3_a"):
        volume = rng.uniform(100, 900, mask.shape).astype(np.float32)
        volume[mask == 3] = 5000
        write(tmp_path / "in" / "images" / f"{name}.nii.gz", volume, SIDES)
        if name != "p3_a":
            write(tmp_path / "in" / "masks" / f"{name}.nii.gz", mask, SIDES)
    return tmp_path / "in"


def test_slices_of_a_structure(cases: Path, tmp_path: Path) -> None:
    assert convert(cases, tmp_path / "out", [3]).startswith("8 slices of 4 volumes and 2 patients")
    data = Folder(tmp_path / "out", channels=1, test_fraction=0, fold=[0, 2])
    assert data.ids[:3] == ["p1_a_001", "p1_a_002", "p1_b_001"]
    assert [{*map(data.patient, data.splits()[name])} for name in ("train", "val")] in (
        [{"p1"}, {"p2"}],
        [{"p2"}, {"p1"}],
    )
    image, mask = data.image("p1_a_001"), data.mask("p1_a_001")
    assert mask.shape == (6, 8) and np.argwhere(mask).tolist() == [[0, 0]]  # the front is up
    assert image[0, 0] == image.max() == 255 and image.min() < 20


@pytest.mark.parametrize(
    ("options", "count"), [({"smallest": 0}, 16), ({"names": "*_a*"}, 4), ({"label": [1, 3], "smallest": 13}, 8)]
)
def test_options(cases: Path, tmp_path: Path, options: dict[str, Any], count: int) -> None:
    assert convert(cases, tmp_path / "out", **{"label": [3], **options}).startswith(f"{count} slices")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"label": [7]}, "no slice has 1 pixels of the value"),
        ({"names": "x*"}, "no NIfTI file like x"),
        ({"patient": "q[0-9]"}, "give another --patient"),
        ({"percentiles": (99.0, 1.0)}, "low before high"),
        ({"out": "in"}, "exists; delete it"),
    ],
)
def test_refusals_leave_nothing(cases: Path, tmp_path: Path, options: dict[str, Any], complaint: str) -> None:
    out = tmp_path / options.pop("out", "out")
    with pytest.raises(ValueError, match=complaint):
        convert(**{"volumes": cases, "out": out, "label": [3], **options})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_two_volumes_of_one_name_are_refused(cases: Path, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        write(cases / folder / "p1_b.nii", np.ones((8, 6, 4), np.uint8), SIDES)
    with pytest.raises(ValueError, match=r"another volume has the name p1_b"):
        convert(cases, tmp_path / "out", [3])


def test_a_mask_on_another_grid_is_refused(cases: Path, tmp_path: Path) -> None:
    write(cases / "masks" / "p1_b.nii.gz", np.zeros((8, 6, 5), np.uint8), SIDES)
    with pytest.raises(ValueError, match=r"p1_b\.nii\.gz: shape"):
        convert(cases, tmp_path / "out", [3])
