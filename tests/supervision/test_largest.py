"""The largest connected component of each class, in probabilities and in labels."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch

from fovea.supervision.largest import largest, largest_if_asked
from fovea.supervision.outputs import labels


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16])
def test_the_largest_component_of_each_class_stays(dtype: torch.dtype) -> None:
    classes = torch.tensor([[[1, 1, 0, 1], [0, 0, 0, 1], [2, 0, 2, 0], [0, 0, 0, 2]], [[0] * 4] * 4]).to(dtype)
    expected = torch.tensor([[[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]], [[0] * 4] * 4]).to(dtype)
    given = classes.clone()
    assert torch.equal(largest(classes), expected) and torch.equal(classes, given)


@pytest.mark.parametrize("channels", [1, 3])
def test_other_components_are_background_for_certain(channels: int) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.nn.functional.avg_pool2d(torch.randn(2, channels, 34, 34), 3, 1)
    probability = logits.sigmoid() if channels == 1 else logits.softmax(dim=1)

    def predictor(image: None, size: Sequence[int]) -> dict[str, torch.Tensor]:
        return {"prediction": probability}

    cleared = largest_if_asked(predictor, {"largest_component": True})(None, (32, 32))["prediction"]
    assert largest_if_asked(predictor, {}) is predictor
    before, after = labels(probability).numpy(), labels(cleared).numpy()
    wanted = np.zeros_like(before)
    for image, kept in zip(before, wanted, strict=True):
        for label in range(1, max(channels, 2)):
            _, parts, stats, _ = cv2.connectedComponentsWithStats((image == label).astype(np.uint8), connectivity=8)
            kept[parts == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])] = label
    np.testing.assert_array_equal(after, wanted)
    changed = torch.as_tensor(before != after)[:, None]
    assert changed.sum() > 20
    background = torch.tensor([0.0] if channels == 1 else [1.0, 0.0, 0.0]).view(1, -1, 1, 1)
    torch.testing.assert_close(cleared, torch.where(changed, background, probability))
