"""Generated data: the same for everyone, whole or absent, and neither trivial nor hopeless."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data.images.synthetic import Synthetic, draw

PARAMETERS: dict[str, Any] = {"images": 5, "image_size": 48, "seed": 0}


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw(np.random.default_rng([0, index]), 96) for index in range(40)]


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_drawing_is_an_image_and_a_mask(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for image, mask in drawn:
        assert (image.dtype, mask.dtype, image.shape) == (np.uint8, np.uint8, (*mask.shape, 3))
        assert np.unique(mask).tolist() == [0, 1]


def test_sides_vary_within_15_percent(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    sides = [side for _, mask in drawn for side in mask.shape]
    assert 81 <= min(sides) < 90 < 102 < max(sides) <= 111


def test_lesions_are_from_tiny_to_large(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    shares = [mask.mean() for _, mask in drawn]
    assert 0.005 < min(shares) < 0.02
    assert 0.15 < max(shares) < 0.4


def test_no_threshold_finds_the_lesions(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    best = []
    for image, mask in drawn:
        grey = image.mean(axis=2)
        masks = [grey > level for level in np.quantile(grey, np.linspace(0.02, 0.98, 25))]
        best.append(max(2 * (m & (mask > 0)).sum() / (m.sum() + mask.sum()) for m in [*masks, *(~m for m in masks)]))
    assert np.mean(best) < 0.5


def test_images_do_not_depend_on_their_number(tmp_path: Path) -> None:
    few = Synthetic(tmp_path / "few", images=2, image_size=48)
    many = Synthetic(tmp_path / "many", **PARAMETERS)
    assert few.ids == many.ids[:2]
    np.testing.assert_array_equal(few.image(few.ids[1]), many.image(few.ids[1]))


def test_seeds_differ(tmp_path: Path) -> None:
    first, second = (Synthetic(tmp_path / str(seed), images=1, image_size=48, seed=seed) for seed in (0, 1))
    assert content(first.root / "images") != content(second.root / "images")


def test_files_on_disk_are_an_ordinary_folder(tmp_path: Path) -> None:
    data = Synthetic(tmp_path / "set", **PARAMETERS)
    splits = data.splits()
    assert [len(ids) for ids in splits.values()] == [3, 1, 1]
    data.check(data.ids, masks=True)
    assert data.mask(data.ids[0]).shape == data.image(data.ids[0]).shape[:2]


def test_masks_serve_as_labels_of_two_classes(tmp_path: Path) -> None:
    binary, labels = (Synthetic(tmp_path / "set", **PARAMETERS, classes=classes) for classes in (1, 2))
    np.testing.assert_array_equal(binary.mask("image_0000"), labels.mask("image_0000"))


def test_second_use_leaves_the_files_alone(tmp_path: Path) -> None:
    root = Synthetic(tmp_path / "set", **PARAMETERS).root
    (root / "images" / "image_0000.png").write_bytes(b"mine")
    Synthetic(root, **PARAMETERS)
    assert (root / "images" / "image_0000.png").read_bytes() == b"mine"


def test_jobs_that_start_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        sets = list(pool.map(lambda _: Synthetic(tmp_path / "set", **PARAMETERS).ids, range(4)))
    assert sets == [sets[0]] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert len(Synthetic(tmp_path / "set", **PARAMETERS).ids) == 5


def test_other_parameters_are_refused(tmp_path: Path) -> None:
    root = Synthetic(tmp_path / "set", **PARAMETERS).root
    with pytest.raises(ValueError, match=r"data\.root: .*set was generated with .*choose another data\.root or delete"):
        Synthetic(root, **{**PARAMETERS, "seed": 1})


@pytest.mark.parametrize("text", [None, "not json"])
def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    if text:
        (tmp_path / "synthetic.json").write_text(text)
    with pytest.raises(ValueError, match=r"data\.root: .* holds no generated images"):
        Synthetic(tmp_path, **PARAMETERS)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file"):
        Synthetic(tmp_path / "file", **PARAMETERS)
    with pytest.raises(ValueError, match="cannot write"):
        Synthetic(tmp_path / "file" / "set", **PARAMETERS)


def test_parameters_are_in_a_file(tmp_path: Path) -> None:
    root = Synthetic(tmp_path / "set", **PARAMETERS).root
    assert json.loads((root / "synthetic.json").read_text()).items() >= PARAMETERS.items()
