"""Labels over images."""

import numpy as np
import pytest

from fovea.pictures.overlay import COLORS, TRUTH, overlay


@pytest.fixture
def image() -> np.ndarray:
    return np.full((40, 60, 3), 100, np.uint8)


@pytest.fixture
def square() -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    return mask


def has(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture - np.array(color, float)) < 40).all(axis=2)  # lines are anti-aliased


def test_a_prediction_is_outlined_and_tinted(image: np.ndarray, square: np.ndarray) -> None:
    picture = overlay(image, square)
    assert has(picture, COLORS[0])[10, 10:30].all()
    np.testing.assert_allclose(picture[20, 20], 0.65 * 100 + 0.35 * np.array(COLORS[0]), atol=1)
    np.testing.assert_array_equal(picture[:, 35:], image[:, 35:])
    assert (image == 100).all()


def test_the_truth_has_a_yellow_outline_only(image: np.ndarray, square: np.ndarray) -> None:
    picture = overlay(image, square, np.roll(square, 25, axis=1))
    assert has(picture, TRUTH)[10, 36:54].all()
    np.testing.assert_array_equal(picture[20, 45], image[20, 45])
    nothing = np.zeros((40, 60), bool)
    np.testing.assert_array_equal(overlay(image, nothing, nothing), image)
    square[15:25, 15:25] = False  # a hole has an outline too
    assert has(overlay(image, square), COLORS[0])[14:26, 14:26].any()


def test_lines_grow_with_the_image(square: np.ndarray) -> None:
    large = np.kron(square, np.ones((20, 20), bool))
    line = has(overlay(np.zeros((*large.shape, 3), np.uint8), large), COLORS[0])
    assert line[:, 400].sum() >= 2 * 5
