"""What a mode returns is refused where scores would be wrong, or an error far from its cause."""

from typing import Any

import pytest
import torch

from fovea.supervision.checks import check_losses, check_outputs

GOOD = torch.tensor([[[[0.0, 0.5, 1.0005]]]])  # rounded in half precision
TRAINED = torch.zeros((), requires_grad=True)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (GOOD, r"forward returns a tensor \[1, 1, 1, 3\]; return a mapping"),
        ({"mask": GOOD}, r"forward returns \['mask'\]; return a mapping"),
        ({"prediction": GOOD[0]}, r"prediction a tensor \[1, 1, 3\]; return \[B, 1, 1, 3\]: data.classes=1"),
        ({"prediction": GOOD[..., :2]}, r"prediction a tensor \[1, 1, 1, 2\]"),
        ({"prediction": torch.cat([1 - GOOD, GOOD], 1)}, r"prediction a tensor \[1, 2, 1, 3\]"),
        ({"prediction": GOOD.numpy()}, "prediction a ndarray"),
        ({"prediction": GOOD - 0.6}, r"prediction values from -0.6 to 0.4; return probabilities"),
        ({"prediction": GOOD, "level_1": 4 * GOOD}, "level_1 values from 0 to 4"),
    ],
)
def test_outputs_are_probabilities_at_the_size_asked_for(outputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^supervision: forward returns.*{message.removeprefix('forward returns')}"):
        check_outputs(outputs, 1, (1, 3))
    check_outputs({"prediction": GOOD, "level_1": GOOD * torch.nan}, 1, (1, 3))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (TRAINED, r"returns a tensor \[\]; return a mapping"),
        ({"total": TRAINED}, r"has no loss, only \['total'\]"),
        ({"loss": TRAINED, "weight": 0.5}, "returns as weight a float; return a tensor of one number"),
        ({"loss": TRAINED.expand(2)}, r"returns as loss a tensor \[2\]"),
        ({"loss": TRAINED.detach()}, "returns a loss without a gradient"),
    ],
)
def test_losses_are_scalars_and_the_loss_has_a_gradient(terms: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^supervision: Mine\.losses {message}"):
        check_losses("Mine", terms)
    check_losses("Mine", {"loss": TRAINED, "agreement": torch.ones(1)})
