"""Pictures of fixations, maps and masks."""

import numpy as np
import pytest

from fovea.pictures.panels import fixation_panel, map_panel, mask_panel


@pytest.fixture
def image() -> np.ndarray:
    return np.zeros((100, 200, 3), np.uint8)


def test_fixations_are_drawn_where_they_are(image: np.ndarray) -> None:
    picture = fixation_panel(image, np.array([0.25]), np.array([0.75]), np.array([200.0]))
    rows, columns = np.nonzero(picture.any(axis=2))
    assert (rows.mean(), columns.mean()) == pytest.approx((75, 50), abs=0.5)


def test_area_of_a_circle_is_the_duration(image: np.ndarray) -> None:
    picture = fixation_panel(image, np.array([0.2, 0.8]), np.array([0.5, 0.5]), np.array([100.0, 400.0]))
    widths = [int(picture[:, column].any(axis=1).sum()) for column in (40, 160)]
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.15)


def test_the_path_joins_fixations(image: np.ndarray) -> None:
    picture = fixation_panel(image, np.array([0.2, 0.8]), np.array([0.5, 0.5]), np.array([100.0, 100.0]))
    assert picture[50, 100].min() > 200


@pytest.mark.parametrize("duration", [[], [0.0], [5.0, 5.0]])
def test_any_number_of_fixations_can_be_drawn(image: np.ndarray, duration: list[float]) -> None:
    place = np.full(len(duration), 0.5)
    picture = fixation_panel(image, place, place, np.array(duration))
    assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
    assert not image.any()


def test_fixation_outside_the_image_is_not_drawn(image: np.ndarray) -> None:
    far = np.array([3.0])
    np.testing.assert_array_equal(fixation_panel(image, far, far, np.array([100.0])), image)


def test_map_is_brighter_where_it_is_higher() -> None:
    picture = map_panel(np.linspace(0, 1, 50, dtype=np.float32)[None])
    assert (np.diff(picture.sum(axis=2)[0].astype(int)) > 0).all()
    assert picture[0, -1, 0] > picture[0, -1, 2]  # pale yellow: RGB, not BGR


def test_map_is_clipped_to_the_unit_interval() -> None:
    np.testing.assert_array_equal(map_panel(np.array([[-1.0, 2.0]])), map_panel(np.array([[0.0, 1.0]])))


def test_mask_is_white_on_black() -> None:
    assert mask_panel(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
