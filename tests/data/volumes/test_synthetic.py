"""Generated pairs of volumes: whole or absent, one anatomy in several contrasts, and no threshold finds it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy.ndimage import center_of_mass
from scipy.stats import rankdata

from fovea.data.volumes import synthetic
from fovea.data.volumes.synthetic import CONTRASTS, LABELS, draw, generate

ARGUMENTS: dict[str, Any] = {
    "modalities": ["ct", "mri"],
    "labeled": 2,
    "unlabeled": 1,
    "validation": 1,
    "testing": 1,
    "shape": [24, 20, 8],
    "voxel": [2.0, 2.0, 5.0],
    "shift": 0.0,
    "seed": 0,
}
GRID: dict[str, Any] = {"shape": (64, 64, 16), "voxel": (1.5, 1.5, 5.0)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "set"
    generate(path, **ARGUMENTS)
    return path


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def centres(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centres of the structures in mm, [3, 3]."""
    found = center_of_mass(np.ones_like(mask), mask, range(1, len(LABELS)))
    return np.array(found) @ affine[:3, :3].T + affine[:3, 3]


def test_the_list_names_every_file_once(root: Path) -> None:
    listed = json.loads((root / "dataset.json").read_text())
    assert listed["modalities"] == ["ct", "mri"]
    assert listed["labels"] == {"0": "background", "1": "crescent", "2": "ring", "3": "ball"}
    groups = [listed[key] for key in ("training", "unlabeled_training", "validation", "testing")]
    assert [len(group) for group in groups] == [2, 1, 1, 1]
    assert {*listed["unlabeled_training"][0]} == {"img_ct", "img_mri"}
    assert {*listed["training"][0]} == {"img_ct", "mask_ct", "img_mri", "mask_mri"}
    named = [path for group in groups for entry in group for path in entry.values()]
    assert sorted(named) == sorted(str(path.relative_to(root)) for path in root.rglob("*.nii.gz"))


def test_files_are_nifti_of_integers_on_regular_grids(root: Path) -> None:
    for path in (root / "images").iterdir():
        image = nibabel.load(path)
        assert image.get_data_dtype() == np.int16
        assert abs(np.linalg.det(image.affine[:3, :3])) > 1
        np.testing.assert_allclose(image.header.get_qform(), image.affine, atol=1e-4)
        np.testing.assert_allclose(nibabel.affines.voxel_sizes(image.affine), image.header.get_zooms(), rtol=1e-5)
        mask = root / "masks" / path.name
        if not path.name.startswith("unlabeled"):
            drawn = nibabel.load(mask)
            np.testing.assert_array_equal(drawn.affine, image.affine)
            assert (drawn.shape, drawn.get_data_dtype()) == (image.shape, np.uint8)
            assert np.unique(drawn.dataobj).tolist() == [0, 1, 2, 3]
    assert len(list((root / "masks").iterdir())) == 8


def test_modalities_differ_in_spacing_slices_and_orientation(root: Path) -> None:
    ct, mri = (nibabel.load(root / "images" / f"labeled_000_{name}.nii.gz") for name in ("ct", "mri"))
    np.testing.assert_allclose(ct.header.get_zooms(), (2, 2, 5))
    np.testing.assert_allclose(mri.header.get_zooms(), (2.2, 2.2, 3.75), rtol=1e-6)
    assert ct.shape[2] != mri.shape[2]
    assert [nibabel.aff2axcodes(each.affine) for each in (ct, mri)] == [("R", "A", "S"), ("L", "P", "S")]


def test_aligned_modalities_show_the_structures_at_the_same_place() -> None:
    for case in range(3):
        first, second, third = (centres(*draw([0, case], place, **GRID, shift=0.0)[1:]) for place in range(3))
        for other in (second, third):
            assert (np.abs(other - first) < (2.0, 2.0, 5.0)).all()  # a slice more or less at the end of the field


def test_misalignment_moves_all_but_the_first_modality_with_its_mask() -> None:
    moves = []
    for case in range(6):
        still, moved = ([draw([0, case], place, **GRID, shift=amount) for place in (0, 1)] for amount in (0.0, 15.0))
        np.testing.assert_array_equal(still[0][0], moved[0][0])
        moves.append(np.linalg.norm(centres(*moved[1][1:]) - centres(*still[1][1:]), axis=1).mean())
        image, mask = moved[1][:2]
        assert abs(np.median(image[mask == 2]) - np.median(image[mask == 1])) > 50  # the mask went along
    assert np.mean(moves) > 4 and max(moves) < 20


def test_no_contrast_only_rises_or_falls_with_another() -> None:
    for first in range(len(CONTRASTS)):
        for second in range(first):
            for part in (slice(None), slice(4, None)):
                a, b = (rankdata(CONTRASTS[place][part]) for place in (first, second))
                assert a.tolist() != b.tolist() and a.tolist() != (len(b) + 1 - b).tolist()


def test_modalities_show_their_contrast() -> None:
    image, mask, _ = draw([0, 0], 0, **GRID, shift=0.0)
    other, its, _ = draw([0, 0], 1, **GRID, shift=0.0)
    assert np.median(image[mask == 3]) > np.median(image[mask == 1]) > np.median(image[mask == 2])
    assert np.median(other[its == 2]) > np.median(other[its == 3]) > np.median(other[its == 1])


def test_no_range_of_brightness_gives_the_structures_away() -> None:
    best = []
    for case in range(5):
        image, mask, _ = draw([1, case], case % 3, **GRID, shift=0.0)
        levels = np.quantile(image, np.linspace(0, 1, 21))
        for label in (1, 2, 3):
            inside = np.histogram(image[mask == label], levels)[0].cumsum()
            all_of = np.histogram(image, levels)[0].cumsum()
            scores = [
                2 * (inside[j] - inside[i]) / (all_of[j] - all_of[i] + inside[-1]) for j in range(20) for i in range(j)
            ]
            best.append(max(scores))
    assert np.mean(best) < 0.5


def test_structures_are_neither_tiny_nor_large() -> None:
    shares = [(draw([2, case], 0, **GRID, shift=0.0)[1][..., None] == (1, 2, 3)).mean((0, 1, 2)) for case in range(8)]
    assert np.min(shares) > 0.004 and np.max(shares) < 0.09
    assert np.ptp(shares, axis=0).min() > 0.005


def test_equal_arguments_give_equal_bytes_and_seeds_do_not(root: Path, tmp_path: Path) -> None:
    generate(tmp_path / "set", **ARGUMENTS)
    generate(tmp_path / "other", **{**ARGUMENTS, "seed": 1})
    assert content(tmp_path / "set") == content(root)
    name = "images/testing_000_ct.nii.gz"
    assert content(tmp_path / "other")[name] != content(root)[name]


def test_cases_do_not_depend_on_how_many_there_are(root: Path, tmp_path: Path) -> None:
    generate(tmp_path / "set", **{**ARGUMENTS, "labeled": 1, "unlabeled": 0})
    few, many = content(tmp_path / "set"), content(root)
    shared = [name for name in few if name.endswith(".nii.gz")]
    assert len(shared) == 12
    assert all(few[name] == many[name] for name in shared)


def test_a_drawing_that_was_stopped_leaves_nothing_and_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "_write", full)
        with pytest.raises(ValueError, match=r"cannot write .*no space left"):
            generate(tmp_path / "set", **ARGUMENTS)
    assert not list(tmp_path.iterdir())
    generate(tmp_path / "set", **ARGUMENTS)
    assert (tmp_path / "set" / "dataset.json").exists()


def test_a_part_of_a_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match=r"data\.root: .* holds no generated images; choose another"):
        generate(tmp_path, **ARGUMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_second_use_leaves_the_files_alone_and_other_arguments_are_refused(tmp_path: Path) -> None:
    small = {**ARGUMENTS, "labeled": 1, "unlabeled": 0, "validation": 0, "testing": 0, "shape": (16, 16, 4)}
    generate(tmp_path / "set", **small)
    (tmp_path / "set" / "images" / "labeled_000_ct.nii.gz").write_bytes(b"mine")
    generate(tmp_path / "set", **small)
    assert (tmp_path / "set" / "images" / "labeled_000_ct.nii.gz").read_bytes() == b"mine"
    with pytest.raises(ValueError, match=r"data\.root: .*was generated with .*choose another data\.root or delete"):
        generate(tmp_path / "set", **{**small, "shift": 1.0})


def test_jobs_that_start_together_agree(tmp_path: Path, root: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: generate(tmp_path / "set", **ARGUMENTS), range(3)))
    assert content(tmp_path / "set") == content(root)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"modalities": []}, "one to three"),
        ({"modalities": ["a", "a"]}, "one to three"),
        ({"modalities": ["a", "../b"]}, "one to three"),
        ({"modalities": ["a", "b", "c", "d"]}, "one to three"),
        ({"labeled": 0}, "at least 1 labelled"),
        ({"testing": -1}, "at least 1 labelled"),
        ({"shape": [64, 64]}, "three numbers of voxels"),
        ({"shape": [64, 8, 16]}, "three numbers of voxels"),
        ({"voxel": [1.0, 0.0, 1.0]}, "three lengths"),
        ({"shift": float("nan")}, "give 0 or more"),
        ({"seed": -1}, "give 0 or more"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=rf"^data\.dataset: .*{line}"):
        generate(tmp_path / "set", **{**ARGUMENTS, **wrong})
    assert not list(tmp_path.iterdir())
