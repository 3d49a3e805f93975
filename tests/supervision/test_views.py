"""Views of images and of volumes."""

import pytest
import torch
from torch.nn import functional as F

from fovea.supervision.views import View, cut_mix, gaussian


@pytest.mark.parametrize("size", [(17, 12), (9, 10, 11)], ids=["image", "volume"])
def test_blur_of_each_image(size: tuple[int, ...]) -> None:
    image, sigmas = torch.rand(3, 2, *size), torch.tensor([0.0, 0.7, 2.0])
    found = gaussian(image, sigmas, reach=4)
    torch.testing.assert_close(found[0], image[0])
    for blurred, source, sigma in zip(found[1:], image[1:], sigmas[1:], strict=True):
        line = torch.exp(-torch.arange(-4.0, 5).square() / (2 * sigma**2))
        kernel = line / line.sum()
        for _ in size[1:]:
            kernel = kernel[..., None] * (line / line.sum())
        padded = F.pad(source[:, None], [4] * (2 * len(size)), mode="replicate")
        conv = F.conv2d if len(size) == 2 else F.conv3d
        torch.testing.assert_close(blurred[:, None], conv(padded, kernel[None, None]), atol=1e-5, rtol=1e-4)


def test_jitter_is_a_factor_and_a_shift_for_each_image_and_channel() -> None:
    torch.manual_seed(0)
    image = torch.randn(64, 3, 8, 8)
    view = View(jitter=0.5, blur=0.0, noise=0.0)(image)
    factor = view.std(dim=(2, 3)) / image.std(dim=(2, 3))
    shift = view.mean(dim=(2, 3)) - image.mean(dim=(2, 3))
    torch.testing.assert_close(factor, factor[:, :1].expand(-1, 3))
    assert 0.5 <= factor.min() < 0.55 and 1.45 < factor.max() <= 1.5
    assert -0.5 <= shift.min() < -0.45 and 0.45 < shift.max() <= 0.5 and shift[0].unique().numel() == 3


def test_views_repeat_with_the_state_of_the_generator() -> None:
    view, volumes = View(0.5, 1.0, 0.1), {"ct": torch.randn(2, 1, 6, 6, 6), "mri": torch.randn(2, 1, 6, 7, 8)}
    state = torch.get_rng_state()
    first = view(volumes)
    torch.set_rng_state(state)
    assert all(torch.equal(values, first[name]) for name, values in view(volumes).items())
    assert not torch.equal(first["ct"], view(volumes)["ct"])


@pytest.mark.parametrize("size", [(40, 30), (12, 20, 16)], ids=["image", "volume"])
def test_cut_mix_pastes_one_box_of_the_other_image(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    image = torch.arange(4.0).view(4, 1, *[1] * len(size)).expand(4, 2, *size)
    paste = cut_mix({"ct": image}, largest=0.4)
    mixed, labels = paste(image), paste(image[:, 0].long())
    assert torch.equal(mixed[:, 1].long(), labels)
    for number, values in enumerate(labels):
        pasted = values == (number - 1) % 4
        assert bool((pasted | (values == number)).all()) and pasted.any()
        box = pasted.nonzero().aminmax(dim=0)
        assert pasted.sum() == (box.max - box.min + 1).prod() and pasted.float().mean() < 0.45
    assert torch.equal(cut_mix(image, largest=0.0)(image), image)
