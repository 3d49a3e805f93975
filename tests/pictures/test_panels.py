"""Pictures of fixations, maps, labels, and slices of volumes: which one, how turned, and in which colors."""

import numpy as np
import pytest

from fovea.data.fixations import Fixations
from fovea.pictures.overlay import COLORS, IGNORED, TRUTH
from fovea.pictures.panels import (
    fixation_panel,
    fullest,
    label_panel,
    map_panel,
    slice_of,
    volume_overlay,
    volume_panels,
)


@pytest.fixture
def image() -> np.ndarray:
    return np.zeros((100, 200, 3), np.uint8)


def test_fixations_have_place_duration_and_path(image: np.ndarray) -> None:
    rows, columns = np.nonzero(fixation_panel(image, [Fixations(*np.array([[0.25], [0.75], [200.0]]))]).any(axis=2))
    assert (rows.mean(), columns.mean()) == pytest.approx((75, 50), abs=0.5)
    picture = fixation_panel(image, [Fixations(*np.array([[0.2, 0.8], [0.5, 0.5], [100.0, 400.0]]))])
    widths = [int(picture[:, column].any(axis=1).sum()) for column in (40, 160)]  # the area is the duration
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.15) and picture[50, 100].min() > 200
    two = np.array([[[0.2], [0.5], [100.0]], [[0.8], [0.5], [400.0]]])
    apart = fixation_panel(image, [Fixations(*each) for each in two])
    assert not apart[50, 80:120].any() and (apart[50, 40] == apart[50, 160]).all()
    for duration in ([], [0.0], [5.0, 5.0]):
        place = np.full(len(duration), 0.5)
        picture = fixation_panel(image, [Fixations(place, place, np.array(duration))])
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8) and not image.any()
    np.testing.assert_array_equal(
        fixation_panel(image, [Fixations(*np.array([[3.0], [3.0], [100.0]]))]), image
    )  # outside


def test_a_map_is_brighter_where_it_is_higher() -> None:
    picture = map_panel(np.linspace(0, 1, 50, dtype=np.float32)[None])
    assert (np.diff(picture.sum(axis=2)[0].astype(int)) > 0).all()
    assert picture[0, -1, 0] > picture[0, -1, 2]  # pale yellow: RGB, not BGR
    np.testing.assert_array_equal(map_panel(np.array([[-1.0, 2.0]])), map_panel(np.array([[0.0, 1.0]])))


def test_labels_are_white_colored_or_gray() -> None:
    labels = np.array([[1, 0, -1, 2]])
    assert label_panel(labels)[0].tolist() == [[255] * 3, [0] * 3, list(IGNORED), [255] * 3]
    assert label_panel(labels, 3)[0].tolist() == [list(COLORS[0]), [0] * 3, list(IGNORED), list(COLORS[1])]


def volume() -> tuple[np.ndarray, np.ndarray]:
    gray = np.random.default_rng(0).random((20, 16, 6)).astype(np.float32)
    labels = np.zeros(gray.shape, np.uint8)
    labels[4:12, 3:9, 2] = 1
    labels[4:8, 3:9, 4] = 2
    return gray, labels


def test_the_slice_with_most_foreground_is_shown() -> None:
    _, labels = volume()
    assert fullest(labels, (1.0, 1.0, 5.0)) == (2, 2)
    assert fullest(np.where(labels == 0, -1, labels.astype(int)), (1.0, 1.0, 5.0)) == (2, 2)
    assert fullest(labels, (5.0, 1.0, 1.0))[0] == 0
    assert fullest(labels, (1.0, 1.0, 1.0))[0] == 2
    assert fullest(np.zeros_like(labels), (1.0, 1.0, 5.0)) == (2, 3)


def test_the_second_axis_points_up_and_pixels_are_square() -> None:
    labels = np.zeros((10, 8, 3), np.uint8)
    labels[9, 7, 1] = 1  # right, front
    flat = slice_of(labels, 2, 1, (1.0, 2.0, 5.0))
    assert flat.shape == (16, 10)
    assert flat[:2, 9].all() and flat.sum() == 2


def test_a_volume_has_image_prediction_and_truth() -> None:
    gray, labels = volume()
    target = labels.astype(int)
    target[:, 12:] = -1
    panels = volume_panels(gray, labels, np.where(labels == 2, 0, target), (1.0, 1.0, 5.0))
    assert list(panels) == ["image", "prediction", "truth"]
    assert all(panel.shape == (16, 20, 3) and panel.dtype == np.uint8 for panel in panels.values())
    assert (panels["image"][..., 0] == panels["image"][..., 1]).all()
    assert (np.abs(panels["prediction"] - np.array(TRUTH, float)) < 40).all(axis=2).any()
    for name in ("prediction", "truth"):  # the ignored rows, at the top
        expected = 0.2 * panels["image"][:4] + 0.8 * 128
        np.testing.assert_allclose(panels[name][:4], expected, atol=1)


def test_each_class_has_a_color() -> None:
    labels = np.zeros((48, 48, 3), np.uint8)
    labels[2:22, 2:22, 1], labels[26:46, 26:46, 1] = 1, 2
    picture = volume_overlay(np.zeros((48, 48, 3), np.float32), labels, (1.0, 1.0, 4.0))
    filled = [tuple(int(0.35 * part) for part in COLORS[label]) for label in (0, 1)]
    assert [tuple(picture[48 - 12, 12]), tuple(picture[12, 48 - 12])] == filled
    assert (picture == picture[0, 0]).all(axis=2).mean() > 0.5
