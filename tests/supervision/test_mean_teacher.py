import math

import pytest
import torch

from fovea.supervision.mean_teacher import MeanTeacher

from . import streams


def mode(weight: float = 1.0, decay: float = 0.9, noise: float = 0.0) -> MeanTeacher:
    torch.manual_seed(0)
    return MeanTeacher(streams.cross, streams.loss(), weight, decay, noise)


def test_the_teacher_is_a_moving_average_of_the_student() -> None:
    module = mode(decay=0.75)
    name, value = next(iter(module.student.named_parameters()))
    seen = []
    for step in (1.0, 3.0, 11.0, 9.0, 6.0):
        value.data.fill_(step)
        module.after_step(0.5)
        seen.append(module.state_dict()[f"teacher.module.{name}"].flatten()[0].item())

    assert seen == pytest.approx([1.0, 2.0, 5.0, 6.0, 6.0])  # a plain mean, until a quarter is more than its share


def test_the_teacher_receives_no_gradient() -> None:
    module = mode(noise=0.1)
    module.losses(streams.two_streams(), progress=1.0)["loss"].backward()

    assert all(value.grad is None and not value.requires_grad for value in module.teacher.parameters())
    assert all(value.grad is not None for value in module.student.parameters())


def test_the_terms_are_those_of_the_paper() -> None:
    module, batch = mode(weight=2.0), streams.two_streams()
    module.student.mix[2].weight.data.add_(1.0)
    terms = module.losses(batch, progress=0.5)

    image = batch["unlabeled"]["image"]
    student, teacher = (net(image).logits for net in (module.student, module.teacher))
    squares = [(student[name].softmax(1) - teacher[name].softmax(1)).square().mean() for name in streams.NAMES]
    torch.testing.assert_close(terms["consistency"], sum(squares) / 2)
    assert terms["consistency"] > 0
    torch.testing.assert_close(terms["loss"], terms["supervised"] + 2 * math.exp(-1.25) * terms["consistency"])


def test_noise_differs_between_the_two() -> None:
    assert mode(noise=0.0).losses(streams.two_streams(), progress=1.0)["consistency"] == 0
    assert mode(noise=0.3).losses(streams.two_streams(), progress=1.0)["consistency"] > 0


@torch.inference_mode()
def test_the_teacher_predicts() -> None:
    module, image = mode().eval(), streams.volumes()
    before = module(image, (8, 8, 8))["prediction"]
    module.student.mix[2].weight.data.add_(1.0)

    assert torch.equal(module(image, (8, 8, 8))["prediction"], before)
    module.after_step(0.5)
    assert not torch.equal(module(image, (8, 8, 8))["prediction"], before)


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"decay": 1.0}, {"noise": -0.1}])
def test_arguments_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="give the first two 0 or more"):
        mode(**options)
