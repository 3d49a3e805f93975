"""Pictures of fixations, maps and labels."""

import numpy as np
import pytest

from fovea.pictures.overlay import COLORS, IGNORED
from fovea.pictures.panels import fixation_panel, label_panel, map_panel


@pytest.fixture
def image() -> np.ndarray:
    return np.zeros((100, 200, 3), np.uint8)


class TestFixations:
    def test_circle_is_at_its_place(self, image: np.ndarray) -> None:
        picture = fixation_panel(image, np.array([0.25]), np.array([0.75]), np.array([200.0]))
        rows, columns = np.nonzero(picture.any(axis=2))
        assert (rows.mean(), columns.mean()) == pytest.approx((75, 50), abs=0.5)

    def test_area_is_the_duration_and_a_path_joins_them(self, image: np.ndarray) -> None:
        picture = fixation_panel(image, np.array([0.2, 0.8]), np.array([0.5, 0.5]), np.array([100.0, 400.0]))
        widths = [int(picture[:, column].any(axis=1).sum()) for column in (40, 160)]
        assert widths[1] / widths[0] == pytest.approx(2, rel=0.15)
        assert picture[50, 100].min() > 200

    @pytest.mark.parametrize("duration", [[], [0.0], [5.0, 5.0]])
    def test_any_number_can_be_drawn(self, image: np.ndarray, duration: list[float]) -> None:
        place = np.full(len(duration), 0.5)
        picture = fixation_panel(image, place, place, np.array(duration))
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
        assert not image.any()

    def test_nothing_is_drawn_outside_the_image(self, image: np.ndarray) -> None:
        far = np.array([3.0])
        np.testing.assert_array_equal(fixation_panel(image, far, far, np.array([100.0])), image)


def test_a_map_is_brighter_where_it_is_higher() -> None:
    picture = map_panel(np.linspace(0, 1, 50, dtype=np.float32)[None])
    assert (np.diff(picture.sum(axis=2)[0].astype(int)) > 0).all()
    assert picture[0, -1, 0] > picture[0, -1, 2]  # pale yellow: RGB, not BGR
    np.testing.assert_array_equal(map_panel(np.array([[-1.0, 2.0]])), map_panel(np.array([[0.0, 1.0]])))


def test_labels_are_white_colored_or_gray() -> None:
    labels = np.array([[1, 0, -1, 2]])
    assert label_panel(labels)[0].tolist() == [[255] * 3, [0] * 3, list(IGNORED), [255] * 3]
    assert label_panel(labels, 3)[0].tolist() == [list(COLORS[0]), [0] * 3, list(IGNORED), list(COLORS[1])]
