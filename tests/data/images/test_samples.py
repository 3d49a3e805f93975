"""From files to tensors."""

from collections.abc import Iterator
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.samples import ImageSamples, ImageTraining, Resized, look_up, lookup_table, to_tensor
from fovea.data.images.targets import Mask, PseudoMask, Target
from fovea.data.loader import EpochBatches, Order, TrainingLoader
from fovea.data.store import Store

STRONG = {"flip": A.HorizontalFlip(p=0.5), "turn": A.Affine(rotate=(-30, 30), p=1.0), "noise": A.GaussNoise(p=0.5)}
NORMALIZE = A.Normalize()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of different sizes, each with a mask of its left half and a map that rises from left to right."""
    rng = np.random.default_rng(0)
    store = Store(tmp_path / "store")
    store.start()
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(6):
        height, width = 20 + 2 * number, 30
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[:, : width // 2] = 255
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
        store.write(str(number), np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1)))
    images = {str(number): {} for number in range(6)}
    store.finish({"parameters": {}, "images": images, "unlabeled": [], "failures": {}})
    return tmp_path


def targets(root: Path, *needs: str, threshold: float = 0.5) -> list[Target]:
    made: list[Target] = [Mask(Folder(root)), PseudoMask(Store(root / "store"), {}, threshold)]
    return [target for target in made if target.name in needs]


def training(root: Path, *needs: str, augment: dict | None = None, seed: int = 0) -> ImageTraining:
    folder = Folder(root)
    resized = Resized(folder, folder.splits()["train"], targets(root, *needs), 16)
    return ImageTraining(resized, NORMALIZE, augment or {}, seed)


def sample(samples: ImageTraining, epoch: int, index: int) -> dict:
    """One sample as the network takes it."""
    [batch] = TrainingLoader({"all": samples}, Only(epoch, index))
    batch = samples.finish(batch["all"])
    return {name: batch[name][0] for name in batch}


class Only(EpochBatches):
    """One batch of one sample."""

    def __init__(self, epoch: int, index: int) -> None:
        super().__init__({"all": Order(1, 1, False, 0)})
        self.key = "all", epoch, index

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        yield [self.key]


def test_a_sample_has_only_the_needed_targets(root: Path) -> None:
    both = sample(training(root, "mask", "pseudo"), 0, 0)
    assert both["image"].shape == (3, 16, 16)
    assert both["mask"].shape == both["pseudo"].shape == (1, 16, 16)
    assert both["mask"].unique().tolist() == [0.0, 1.0]
    assert 0 <= both["pseudo"].min() < 0.1 and 0.9 < both["pseudo"].max() <= 1
    assert set(sample(training(root, "pseudo"), 0, 0)) == {"image", "index", "id", "pseudo"}


def test_weak_labels_never_open_a_mask(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(Folder, "mask", lambda self, name: opened.append(name))
    samples = training(root, "pseudo", augment=STRONG)
    assert [samples[0, index]["id"] for index in range(len(samples))] == samples.ids
    assert opened == []


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mean", [(0.485, 0.456, 0.406), (0.5, 0.5, 0.5)])
def test_a_lookup_table_gives_the_same_bits(channels: int, mean: tuple[float, ...]) -> None:
    normalize = A.Normalize(mean=mean[:channels], std=(0.229, 0.224, 0.225)[:channels])
    image = np.random.default_rng(0).integers(0, 256, (31, 40, channels), dtype=np.uint8)
    table = lookup_table(normalize, channels)
    assert table is not None
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    assert torch.equal(look_up(planes[None], table)[0], to_tensor(image, normalize))
    for other in (A.Normalize(normalization="image"), A.Normalize(p=0.5), lambda image: {"image": image}):
        assert lookup_table(other, channels) is None  # pixels depend on others


def test_augmentation_depends_on_seed_pass_and_index_only(root: Path) -> None:
    first, second = (training(root, "mask", augment=STRONG) for _ in range(2))
    for key in [(3, 1), (0, 2), (3, 1)]:  # in any order, as often as you like
        torch.testing.assert_close(sample(first, *key)["image"], sample(second, *key)["image"], rtol=0, atol=0)
    other = training(root, "mask", augment=STRONG, seed=1)
    seen = [sample(*each)["image"] for each in ((first, 0, 1), (first, 1, 1), (other, 0, 1))]
    assert not any(torch.equal(a, b) for a, b in zip(seen, seen[1:] + seen[:1], strict=True))


def test_image_mask_and_map_move_together(root: Path) -> None:
    flip = {"flip": A.HorizontalFlip(p=1.0)}
    plain, flipped = (sample(training(root, "mask", "pseudo", augment=each), 0, 0) for each in ({}, flip))
    for name in ("image", "mask", "pseudo"):
        torch.testing.assert_close(flipped[name], plain[name].flip(-1), rtol=0, atol=0)


def test_evaluation_targets_have_the_native_size(root: Path) -> None:
    folder, [mask] = Folder(root), targets(root, "mask")
    for index, sample in enumerate(map(ImageSamples(folder, folder.ids, mask, 16, NORMALIZE).__getitem__, range(6))):
        assert sample["image"].shape == (3, 16, 16)
        assert tuple(sample["target"].shape) == folder.size(folder.ids[index])
        assert sample["target"][:, :15].all() and not sample["target"][:, 15:].any()
    for threshold, share in ((0.2, 0.8), (0.5, 0.5), (0.8, 0.2)):
        [pseudo] = targets(root, "pseudo", threshold=threshold)
        target = ImageSamples(folder, folder.ids, pseudo, 16, NORMALIZE)[0]["target"]
        assert target.float().mean().item() == pytest.approx(share, abs=0.02)


def test_a_gray_image_has_one_channel(root: Path) -> None:
    folder, normalize = Folder(root, channels=1), A.Normalize(normalization="image")
    resized = Resized(folder, folder.splits()["train"], targets(root, "mask"), 16)
    image = sample(ImageTraining(resized, normalize, {"flip": A.HorizontalFlip(p=1.0)}, 0), 0, 0)["image"]
    assert image.shape == (1, 16, 16)
    assert image.mean().abs() < 1e-3
    assert image.std().item() == pytest.approx(1.0, abs=0.01)


def test_workers_start_in_a_process_that_has_used_opencv(root: Path) -> None:
    import cv2

    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (1000, 1000))  # with threads, if it were allowed any
    samples = training(root, "mask", augment=STRONG)
    batches = EpochBatches({"all": Order(len(samples), 1, False, 0)})
    loader = TrainingLoader({"all": samples}, batches, num_workers=2, timeout=60)
    assert sorted(batch["all"]["id"][0] for batch in loader) == samples.ids
