"""Slices of volumes: which one, how turned, and in which colors."""

import numpy as np

from fovea.pictures.overlay import COLORS, TRUTH
from fovea.pictures.volumes import fullest, slice_of, volume_overlay, volume_panels


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
