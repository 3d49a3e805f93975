"""The pictures of one image: which there are, and in which colors."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fovea.data.fixations import Fixations
from fovea.data.images.panels import Panels
from fovea.data.images.targets import PseudoMask
from fovea.pictures.overlay import COLORS, IGNORED

IMAGE = np.full((20, 30, 3), 100, np.uint8)
MASK = np.zeros((20, 30), int)
ONE = {"prediction": MASK}
GAZE = Fixations(*np.array([[0.5], [0.5], [200.0]]))


def drawn(
    outputs: dict, target: np.ndarray, classes: int = 1, image: np.ndarray = IMAGE, annotation: Any = None
) -> dict[str, np.ndarray]:
    dataset = SimpleNamespace(classes=classes, image=lambda _: image)
    panels = Panels(dataset, SimpleNamespace(title="truth"), None, {}, {})
    if annotation is not None:
        panels.target = PseudoMask
        panels.store = SimpleNamespace(has=lambda _: True, read=lambda _: MASK.astype(np.float32))
        label = SimpleNamespace(draw=lambda _, size: np.full(size, 0.5))
        panels.annotations = label, SimpleNamespace(of=lambda _: annotation)
    return panels({"id": "a", "target": torch.from_numpy(target)}, outputs)


@pytest.mark.parametrize(("annotation", "title"), [(GAZE, "fixations"), ("boxes", "label"), ("", "label")])
def test_there_is_a_panel_for_everything_known(annotation: Any, title: str) -> None:
    assert list(drawn(ONE | {"level_1": MASK}, MASK)) == ["image", "prediction", "truth"]
    whole = drawn(ONE | {"level_1": MASK, "level_2": 1 - MASK}, MASK, annotation=annotation)
    assert list(whole) == ["image", title, "map", "level 1", "level 2", "prediction", "pseudo-mask"]
    assert all(panel.shape == (20, 30, 3) for panel in whole.values())
    assert (whole[title] == IMAGE).all() == (annotation == "")


def test_ignored_pixels_and_gray_images_are_gray() -> None:
    np.testing.assert_array_equal(drawn(ONE, MASK, image=IMAGE[:, :, :1])["image"], IMAGE)
    target = MASK.copy()
    target[:10] = -1
    panels = drawn(ONE, target)
    assert (panels["truth"][5, 5] == IGNORED).all() and not panels["truth"][15, 5].any()
    np.testing.assert_allclose(panels["prediction"][5, 5], 0.2 * 100 + 0.8 * 128, atol=1)
    assert (panels["prediction"][15, 5] == 100).all()


def test_several_classes_have_their_colors() -> None:
    target = MASK.copy()
    target[2:18, 2:12], target[2:18, 15:28] = 1, 2
    panels = drawn({"prediction": target}, np.where(target == 1, target, -1), classes=3)
    assert (panels["truth"][10, 6] == COLORS[0]).all() and (panels["truth"][10, 20] == IGNORED).all()
    np.testing.assert_allclose(panels["prediction"][10, 6], 0.65 * 100 + 0.35 * np.array(COLORS[0]), atol=1)
    assert (drawn(ONE, 2 * target)["truth"][10, 20] == 255).all()  # one class of any value
