"""The strong augmentation of crops and slices, and GIN as a naive version."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, SqueezeDimd
from omegaconf import OmegaConf

from fovea.data.volumes.gin import RandAppearanced, draw_network, mixed
from fovea.data.volumes.prepared import Array
from fovea.data.volumes.source import transform_of
from fovea.losses import IGNORE
from fovea.runtime.config import config_folder

IMAGE, MASK = Array("image", "ct"), Array("mask", "ct", nearest=True)


def groups(choice: str) -> dict:
    """Return the transforms of a YAML file and of those below it."""
    config = OmegaConf.load(Path(config_folder()) / "augmentation" / f"{choice}.yaml")
    below = [groups(name) for name in config.pop("defaults", []) if name != "_self_"]
    return OmegaConf.to_container(OmegaConf.merge(*below, config))


@pytest.mark.parametrize("choice", ["volumes_strong", "volumes_gin"])
@pytest.mark.parametrize("size", [(16, 16, 6), (32, 32, 1)])
def test_crops_and_slices_keep_shapes_and_labels(choice: str, size: tuple[int, ...]) -> None:
    slices = size[-1] == 1
    spatial, intensity = (
        [
            partial(transform_of, {**one, "prob": 1.0}, slices=slices)
            for one in groups(choice)["augment"][group].values()
        ]
        for group in ("spatial", "intensity")
    )
    squeeze = [SqueezeDimd([IMAGE, MASK], dim=-1)] if slices else []
    chain = Compose([make([IMAGE, MASK]) for make in spatial] + squeeze + [make([IMAGE]) for make in intensity])
    sample = {IMAGE: torch.randn(1, *size), MASK: torch.randint(IGNORE, 3, (1, *size)).short()}

    def out(seed: int) -> tuple[np.ndarray, np.ndarray]:
        chain.set_random_state(seed)
        result = chain(dict(sample))
        return np.asarray(result[IMAGE]), np.asarray(result[MASK])

    (image, mask), again, other = out(0), out(0), out(1)
    assert image.shape == mask.shape == (1, *size[: 2 if slices else 3]) and np.isfinite(image).all()
    assert {*np.unique(mask)} <= {IGNORE, 0, 1, 2}
    assert np.array_equal(image, again[0]) and np.array_equal(mask, again[1]) and not np.array_equal(image, other[0])


def test_gin_as_naive_loops() -> None:
    image, share = torch.randn(1, 5, 6), 0.3
    network = draw_network(np.random.RandomState(0), layers=4, channels=2, dims=2)
    assert [tuple(weight.shape[:2]) for weight, _ in network] == [(2, 1), (2, 2), (2, 2), (1, 2)]
    values = image.numpy().astype(float)
    for number, (weight, shift) in enumerate(network):
        if number:
            values = np.where(values > 0, values, 0.01 * values)
        reach = weight.shape[-1] // 2
        padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)))
        values = np.zeros((len(weight), 5, 6))
        for out in range(len(weight)):
            for y in range(5):
                for x in range(6):
                    window = padded[:, y : y + 2 * reach + 1, x : x + 2 * reach + 1]
                    values[out, y, x] = (weight[out].numpy() * window).sum() + float(shift[out])
    expected = share * values + (1 - share) * image.numpy()
    expected *= np.linalg.norm(image) / np.linalg.norm(expected)
    np.testing.assert_allclose(mixed(image, network, share), expected, rtol=1e-4, atol=1e-5)


def test_gin_changes_some_images_alone() -> None:
    transform, sample = RandAppearanced(["a"], prob=0.5, layers=4, channels=2), {"a": torch.randn(1, 4, 4, 4), "b": 1}
    transform.set_random_state(0)
    changed = [not torch.equal(transform(sample)["a"], sample["a"]) for _ in range(40)]
    assert 0.25 < np.mean(changed) < 0.75 and transform(sample)["b"] == 1
