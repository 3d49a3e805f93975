"""Slices of volumes: which one, how turned, and in which colours."""

import numpy as np

from fovea.pictures.volume_sheet import COLOURS, fullest, overlay_of, slice_of, tiles


def volume() -> tuple[np.ndarray, np.ndarray]:
    grey = np.random.default_rng(0).random((20, 16, 6)).astype(np.float32)
    labels = np.zeros(grey.shape, np.uint8)
    labels[4:12, 3:9, 2] = 1
    labels[4:8, 3:9, 4] = 2
    return grey, labels


def test_the_slice_with_most_labels_is_shown() -> None:
    _, labels = volume()
    assert fullest(labels, (1.0, 1.0, 5.0)) == (2, 2)
    assert fullest(labels, (5.0, 1.0, 1.0))[0] == 0
    assert fullest(labels, (1.0, 1.0, 1.0))[0] == 2
    assert fullest(np.zeros_like(labels), (1.0, 1.0, 5.0)) == (2, 3)


def test_the_second_axis_points_up_and_pixels_are_square() -> None:
    labels = np.zeros((10, 8, 3), np.uint8)
    labels[9, 7, 1] = 1  # right, front
    flat = slice_of(labels, 2, 1, (1.0, 2.0, 5.0))
    assert flat.shape == (16, 10)
    assert flat[:2, 9].all() and flat.sum() == 2


def test_a_row_shows_image_prediction_and_truth() -> None:
    grey, labels = volume()
    row = tiles(grey, labels, np.where(labels == 2, 0, labels), (1.0, 1.0, 5.0))
    assert list(row) == ["image", "prediction", "truth"]
    assert all(picture.shape == (16, 20, 3) and picture.dtype == np.uint8 for picture in row.values())
    assert (row["image"][..., 0] == row["image"][..., 1]).all()
    assert (row["prediction"] == 255).all(axis=2).any()  # the outline of the truth


def test_each_label_has_a_colour_of_its_own() -> None:
    labels = np.zeros((48, 48, 3), np.uint8)
    labels[2:22, 2:22, 1], labels[26:46, 26:46, 1] = 1, 2
    picture = overlay_of(np.zeros((48, 48, 3), np.float32), labels, (1.0, 1.0, 4.0))
    filled = [tuple(int(0.4 * part) for part in COLOURS[label]) for label in (0, 1)]
    assert [tuple(picture[48 - 12, 12]), tuple(picture[12, 48 - 12])] == filled
    assert (picture == picture[0, 0]).all(axis=2).mean() > 0.5
