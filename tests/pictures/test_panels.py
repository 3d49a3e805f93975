"""Pictures of fixations, maps and labels."""

import numpy as np
import pytest

from fovea.pictures.overlay import COLORS, IGNORED
from fovea.pictures.panels import fixation_panel, label_panel, map_panel


@pytest.fixture
def image() -> np.ndarray:
    return np.zeros((100, 200, 3), np.uint8)


def test_fixations_have_place_duration_and_path(image: np.ndarray) -> None:
    rows, columns = np.nonzero(fixation_panel(image, [np.array([[0.25], [0.75], [200.0]])]).any(axis=2))
    assert (rows.mean(), columns.mean()) == pytest.approx((75, 50), abs=0.5)
    picture = fixation_panel(image, [np.array([[0.2, 0.8], [0.5, 0.5], [100.0, 400.0]])])
    widths = [int(picture[:, column].any(axis=1).sum()) for column in (40, 160)]  # the area is the duration
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.15) and picture[50, 100].min() > 200
    apart = fixation_panel(image, np.array([[[0.2], [0.5], [100.0]], [[0.8], [0.5], [400.0]]]))  # of two observers
    assert not apart[50, 80:120].any() and (apart[50, 40] == apart[50, 160]).all()
    for duration in ([], [0.0], [5.0, 5.0]):
        place = np.full(len(duration), 0.5)
        picture = fixation_panel(image, [(place, place, np.array(duration))])
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8) and not image.any()
    np.testing.assert_array_equal(fixation_panel(image, [np.array([[3.0], [3.0], [100.0]])]), image)  # outside


def test_a_map_is_brighter_where_it_is_higher() -> None:
    picture = map_panel(np.linspace(0, 1, 50, dtype=np.float32)[None])
    assert (np.diff(picture.sum(axis=2)[0].astype(int)) > 0).all()
    assert picture[0, -1, 0] > picture[0, -1, 2]  # pale yellow: RGB, not BGR
    np.testing.assert_array_equal(map_panel(np.array([[-1.0, 2.0]])), map_panel(np.array([[0.0, 1.0]])))


def test_labels_are_white_colored_or_gray() -> None:
    labels = np.array([[1, 0, -1, 2]])
    assert label_panel(labels)[0].tolist() == [[255] * 3, [0] * 3, list(IGNORED), [255] * 3]
    assert label_panel(labels, 3)[0].tolist() == [list(COLORS[0]), [0] * 3, list(IGNORED), list(COLORS[1])]
