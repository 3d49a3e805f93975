"""Kept samples: the same bits as decoded ones, and never those of another image."""

import logging
import multiprocessing
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from fovea.data.cache import Files, Memory, fingerprint
from fovea.data.images.folder import Folder
from fovea.data.images.samples import ImageTraining, Resized
from fovea.data.loader import EpochBatches, Order, TrainingLoader
from fovea.data.store import Store
from fovea.data.targets import Mask, PseudoMask, Target

AUGMENT = {"flip": A.HorizontalFlip(p=0.5), "turn": A.Affine(rotate=(-30, 30), p=1.0), "noise": A.GaussNoise(p=0.5)}
IDS = [f"i{number}" for number in range(7)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven training images of different sizes with masks and maps."""
    rng = np.random.default_rng(0)
    store = Store(tmp_path / "store")
    store.start()
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number, name in enumerate(IDS):
        shape = (20 + 2 * number, 30)
        Image.fromarray(rng.integers(0, 255, (*shape, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(255 * rng.integers(0, 2, shape, dtype=np.uint8)).save(tmp_path / "masks" / f"{name}.png")
        store.write(name, rng.random(shape, dtype=np.float32))
    store.finish({"parameters": {}, "images": {name: {} for name in IDS}, "unlabeled": [], "failures": {}})
    (tmp_path / "train.txt").write_text("\n".join(IDS))
    (tmp_path / "val.txt").write_text("")
    return tmp_path


def resized(root: Path, *needs: str, size: int = 16, **options) -> Resized:
    folder = Folder(root, **options)
    targets: list[Target] = [Mask(folder), PseudoMask(Store(root / "store"), {}, 0.5)]
    wanted = [target for target in targets if not needs or target.name in needs]
    return Resized(folder, IDS, wanted, size)


def samples(root: Path, cache: Callable | None, *needs: str) -> ImageTraining:
    return ImageTraining(resized(root, *needs), A.Normalize(), AUGMENT, 0, cache)


def disk(root: Path) -> Callable:
    return partial(Files, folder=str(root / "cache"), threads=2)


def epochs(made: ImageTraining, workers: int, count: int = 3) -> list[dict]:
    """All batches of some epochs."""
    order = EpochBatches({"all": Order(len(made), 2, False, 0)})
    loader = TrainingLoader(
        {"all": made}, order, num_workers=workers, persistent_workers=workers > 0, timeout=60 if workers else 0
    )
    batches = []
    for epoch in range(count):
        order.set_epoch(epoch)
        batches += [made.finish(batch["all"]) for batch in loader]
    return batches


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_cache_changes_no_bit(root: Path, kind: str, workers: int) -> None:
    cache = {"ram": partial(Memory, limit=1.0), "disk": disk(root)}[kind]
    plain, cached = epochs(samples(root, None), 0), epochs(samples(root, cache), workers)
    assert [batch["id"] for batch in cached] == [batch["id"] for batch in plain]
    for one, other in zip(plain, cached, strict=True):
        for name in ("image", "mask", "pseudo"):
            torch.testing.assert_close(other[name], one[name], rtol=0, atol=0)


@pytest.mark.parametrize("cache", [partial(Memory, limit=1.0), "disk"])
def test_what_is_returned_may_be_changed(root: Path, cache) -> None:
    source = resized(root)
    kept = (disk(root) if cache == "disk" else cache)(source)
    for _ in range(3):
        array = kept.read("pseudo", 2)
        np.testing.assert_array_equal(array, source.read("pseudo", 2))
        array += 1


def test_workers_share_what_is_in_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = samples(root, partial(Memory, limit=1.0))
    epochs(made, workers=2, count=1)
    monkeypatch.setattr(Resized, "read", lambda self, kind, index: pytest.fail("decoded again"))
    assert len(epochs(made, workers=0, count=1)) == 4  # in this process, which has decoded none


def test_weak_labels_open_no_mask(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(Folder, "mask", lambda self, name: opened.append(name))
    monkeypatch.setattr(Folder, "mask_path", lambda self, name: opened.append(name))
    for cache in (partial(Memory, limit=1.0), disk(root)):
        epochs(samples(root, cache, "pseudo"), workers=0, count=2)
    assert opened == []
    assert sorted(path.name.split("-")[1] for path in (root / "cache").iterdir()) == ["image", "pseudo"]


def test_a_set_that_is_too_large_is_not_kept_and_the_log_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = resized(root)
    with caplog.at_level(logging.WARNING):
        kept = Memory(source, limit=1e-6)
    assert "data.cache.limit=1e-06" in caplog.text and "cache=disk" in caplog.text
    assert kept.values == {}
    np.testing.assert_array_equal(kept.read("image", 3), source.read("image", 3))


def test_files_are_built_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = disk(root)(resized(root))
    before = {path.name: path.stat().st_mtime_ns for path in (root / "cache").iterdir()}
    read = []
    monkeypatch.setattr(
        Resized, "read", lambda self, kind, index, read_=Resized.read: read.append(index) or read_(self, kind, index)
    )
    disk(root)(resized(root))
    assert {path.name: path.stat().st_mtime_ns for path in (root / "cache").iterdir()} == before
    assert set(read) == {0}
    assert len(first.paths) == 3


def rewrite_image(root: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "images" / "i0.png")


def touch_image(root: Path) -> None:
    os.utime(root / "images" / "i3.png", ns=(1, 1))


def rewrite_mask(root: Path) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(root / "masks" / "i0.png")


def rewrite_map(root: Path) -> None:
    store = Store(root / "store")
    manifest = dict(store.manifest)
    store.write("i0", np.zeros((20, 30), np.float32))
    store.finish(manifest)


def other_parameters(root: Path) -> None:
    store = Store(root / "store")
    store.finish(dict(store.manifest) | {"versions": {"numpy": "0"}})


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (rewrite_image, {"image", "mask"}),  # masks are held against the sizes of images
        (touch_image, {"image", "mask"}),
        (rewrite_mask, {"mask"}),
        (rewrite_map, {"pseudo"}),
        (other_parameters, {"pseudo"}),
    ],
)
def test_a_changed_file_is_never_served_from_a_cache(root: Path, change: Callable, changed: set[str]) -> None:
    before = {kind: fingerprint(resized(root), kind) for kind in ("image", "mask", "pseudo")}
    change(root)
    after = {kind: fingerprint(resized(root), kind) for kind in before}
    assert {kind for kind in before if before[kind] != after[kind]} == changed
    cached, plain = epochs(samples(root, disk(root)), 0, 1), epochs(samples(root, None), 0, 1)
    for one, other in zip(plain, cached, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["pseudo"], other["pseudo"])


def test_size_channels_and_the_class_are_part_of_the_name(root: Path) -> None:
    class Own(Folder):
        pass

    usual, own = resized(root), resized(root)
    own.dataset.__class__ = Own
    others = [resized(root, size=17), resized(root, channels=1), own]
    assert fingerprint(usual, "image") == fingerprint(resized(root, "mask"), "image")
    assert len({fingerprint(each, "image") for each in (usual, *others)}) == 4


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_damaged_file_is_built_anew(root: Path, content: bytes | None) -> None:
    source = resized(root, "mask")
    path = disk(root)(source).paths["image"]
    path.write_bytes(path.read_bytes()[:-10] if content is None else content)
    np.testing.assert_array_equal(disk(root)(source).read("image", 6), source.read("image", 6))


def test_a_build_that_fails_leaves_nothing(root: Path) -> None:
    (root / "images" / "i5.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot decode .*i5\.png"):
        disk(root)(resized(root, "mask"))
    assert list((root / "cache").iterdir()) == []


def build(root: Path) -> None:
    disk(root)(resized(root))


def test_jobs_that_start_together_leave_one_set_of_files(root: Path) -> None:
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=build, args=(root,)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert len(list((root / "cache").iterdir())) == 3


@pytest.mark.parametrize("cache", [partial(Memory, limit=1.0), "disk"])
def test_a_cache_can_be_sent_to_a_process_that_is_not_forked(root: Path, cache) -> None:
    source = resized(root)
    kept = (disk(root) if cache == "disk" else cache)(source)
    sent = pickle.dumps(kept)
    np.testing.assert_array_equal(pickle.loads(sent).read("image", 3), source.read("image", 3))
    assert len(sent) < 20_000  # not the arrays


def test_a_folder_that_cannot_be_written_is_named(root: Path) -> None:
    (root / "cache").write_text("in the way")
    with pytest.raises(ValueError, match=r"cannot write .*cache"):
        disk(root)(resized(root))


def test_images_of_another_kind_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = resized(root, "mask")
    usual = Resized.read
    monkeypatch.setattr(Resized, "read", lambda self, kind, index: usual(self, kind, index)[..., : 3 - index])
    with pytest.raises(ValueError, match=r"i1: .*, but uint8 \[16, 16, 3\] was expected; .*cache=none"):
        disk(root)(source)
