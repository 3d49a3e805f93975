"""Generated data: the same for everyone, and neither trivial nor hopeless."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.images.synthetic import Synthetic, draw

PARAMETERS: dict[str, Any] = {"images": 5, "image_size": 48, "seed": 0}


def test_drawings_are_varied_and_no_threshold_finds_the_lesions() -> None:
    sides, shares, best = [], [], []
    for index in range(40):
        image, mask = draw(np.random.default_rng([0, index]), 96)
        assert (image.dtype, mask.dtype, image.shape) == (np.uint8, np.uint8, (*mask.shape, 3))
        assert np.unique(mask).tolist() == [0, 1]
        sides += mask.shape
        shares.append(mask.mean())
        gray = image.mean(axis=2)
        masks = [gray > level for level in np.quantile(gray, np.linspace(0.02, 0.98, 25))]
        best.append(max(2 * (m & (mask > 0)).sum() / (m.sum() + mask.sum()) for m in [*masks, *(~m for m in masks)]))
    assert 81 <= min(sides) < 90 < 102 < max(sides) <= 111
    assert 0.005 < min(shares) < 0.02 and 0.15 < max(shares) < 0.4
    assert np.mean(best) < 0.5


def test_an_image_depends_on_the_seed_and_its_number_only(tmp_path: Path) -> None:
    few = Synthetic(tmp_path / "few", images=2, image_size=48)
    many = Synthetic(tmp_path / "many", **PARAMETERS)
    other = Synthetic(tmp_path / "other", images=1, image_size=48, seed=1)
    assert few.ids == many.ids[:2]
    np.testing.assert_array_equal(few.image(few.ids[1]), many.image(few.ids[1]))
    assert not np.array_equal(few.image(few.ids[0]), other.image(few.ids[0]))


def test_files_on_disk_are_an_ordinary_folder(tmp_path: Path) -> None:
    data = Synthetic(tmp_path / "set", **PARAMETERS)
    assert json.loads((data.root / "synthetic.json").read_text()).items() >= PARAMETERS.items()
    assert [len(ids) for ids in data.splits().values()] == [3, 1, 1]
    data.check(data.ids, masks=True)
    assert data.mask(data.ids[0]).shape == data.image(data.ids[0]).shape[:2]
    labels = Synthetic(tmp_path / "set", **PARAMETERS, classes=2)
    np.testing.assert_array_equal(data.mask("image_0000"), labels.mask("image_0000"))
