"""The parts of an exported graph, to the last bit."""

import albumentations as A
import cv2
import numpy as np
import pytest
import torch

from fovea.engine.export.graph import normalizer, resized

SIZES = [(1, 1), (2, 3), (64, 64), (128, 128), (128, 37), (37, 53), (63, 65), (200, 1), (333, 150), (512, 301)]


@pytest.mark.parametrize("size", [32, 64, 97, 224])
def test_resized_as_opencv_does(size: int) -> None:
    rng = np.random.default_rng(size)
    for sides in [*SIZES, *rng.integers(1, 700, (20, 2)).tolist()]:
        image = rng.integers(0, 256, (*sides, 3), np.uint8)
        expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(resized(torch.from_numpy(image), size).numpy(), expected, str(sides))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "normalization", ["standard", "image", "image_per_channel", "min_max", "min_max_per_channel", "flat image"]
)
def test_normalized_as_albumentations_does(normalization: str, channels: int) -> None:
    image = np.random.default_rng(0).integers(20, 200, (30, 40, channels), np.uint8)
    if normalization == "flat image":
        image, normalization = np.full_like(image, 7), "image"
    transform = A.Normalize([0.5] * channels, [0.2] * channels, normalization=normalization)
    expected = transform(image=image)["image"]
    found = normalizer(transform, channels)(torch.from_numpy(image).double()).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_another_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match="normalized by ToFloat"):
        normalizer(A.ToFloat(), 3)
