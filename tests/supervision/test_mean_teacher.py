import math

import pytest
import torch

from fovea.supervision.mean_teacher import MeanTeacher

from . import tiny


def mode(weight: float = 1.0, decay: float = 0.9, noise: float = 0.0) -> MeanTeacher:
    torch.manual_seed(0)
    return MeanTeacher(tiny.cross, tiny.loss(), weight, decay, noise)


def test_teacher_is_a_moving_average() -> None:
    module = mode(decay=0.75)
    name, value = next(iter(module.student.named_parameters()))
    averages = []
    for step in (1.0, 3.0, 11.0, 9.0, 6.0):
        value.data.fill_(step)
        module.after_step(0.5)
        averages.append(module.state_dict()[f"teacher.module.{name}"].flatten()[0].item())
    assert averages == pytest.approx([1.0, 2.0, 5.0, 6.0, 6.0])  # a plain mean until 1 / (n + 1) is below a quarter


def test_noise_differs_and_the_teacher_has_no_gradient() -> None:
    assert mode(noise=0.0).losses(tiny.two_streams(), progress=1.0)["consistency"] == 0
    module = mode(noise=0.3)
    terms = module.losses(tiny.two_streams(), progress=1.0)
    assert terms["consistency"] > 0
    terms["loss"].backward()
    assert all(value.grad is None and not value.requires_grad for value in module.teacher.parameters())
    assert all(value.grad is not None for value in module.student.parameters())


def test_terms_of_the_paper() -> None:
    module, batch = mode(weight=2.0), tiny.two_streams()
    module.student.mix[2].weight.data.add_(1.0)
    terms = module.losses(batch, progress=0.5)
    image = batch["unlabeled"]["image"]
    student, teacher = (net(image).logits for net in (module.student, module.teacher))
    squares = [(student[name].softmax(1) - teacher[name].softmax(1)).square().mean() for name in tiny.NAMES]
    torch.testing.assert_close(terms["consistency"], sum(squares) / 2)
    assert terms["consistency"] > 0
    torch.testing.assert_close(terms["loss"], terms["supervised"] + 2 * math.exp(-1.25) * terms["consistency"])


def test_one_class_compares_sigmoids() -> None:
    torch.manual_seed(0)
    module = MeanTeacher(tiny.TinyBackbone, tiny.loss(1), weight=1.0, decay=0.9, noise=0.0)
    module.student.head[0].weight.data.add_(1.0)
    image = torch.rand(2, 3, 16, 16)
    terms = module.losses({"labeled": tiny.labeled(image, 1), "unlabeled": {"image": image}}, progress=1.0)
    expected = (module.student(image).sigmoid() - module.teacher(image).sigmoid()).square().mean()
    torch.testing.assert_close(terms["consistency"], expected)
    assert expected > 0


@torch.inference_mode()
def test_teacher_predicts() -> None:
    module, image = mode().eval(), tiny.volumes()
    before = module(image, (8, 8, 8))["prediction"]
    module.student.mix[2].weight.data.add_(1.0)
    assert torch.equal(module(image, (8, 8, 8))["prediction"], before)
    module.after_step(0.5)
    assert not torch.equal(module(image, (8, 8, 8))["prediction"], before)
