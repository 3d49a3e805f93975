"""Cached arrays: the same bits as decoded ones, and never those of a changed file."""

import logging
import multiprocessing
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data import cache as cache_module
from fovea.data.cache import Files, Memory, fingerprint
from fovea.data.loader import EpochBatches, Order, TrainingLoader

IDS = [f"i{number}" for number in range(7)]


class Arrays:
    """A source whose arrays are files, of several shapes for `image` and of one for `mask`."""

    def __init__(self, root: Path, value: int = 0) -> None:
        self.root, self.value, self.ids, self.kinds = root, value, IDS, ("image", "mask")

    def read(self, kind: str, index: int) -> np.ndarray:
        return np.load(self.root / f"{kind}_{self.ids[index]}.npy")

    def layout(self, kind: str) -> tuple[list[tuple[int, ...]], np.dtype]:
        shapes: list[tuple[int, ...]] = [(4, 3 + number if kind == "image" else 2) for number in range(7)]
        return shapes, np.dtype(np.float32 if kind == "image" else np.uint8)

    def inputs(self, kind: str) -> dict[str, Any]:
        files = [self.root / f"{kind}_{name}.npy" for name in self.ids]
        return {"files": files, "root": str(self.root), "code": [type(self)], "value": self.value}


class Samples:
    """Training samples that read from a cache."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(IDS)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        image = self.arrays.read("image", key[1])
        return {"index": key[1], "sum": image.sum(), "mask": self.arrays.read("mask", key[1])}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for kind in ("image", "mask"):
        shapes, dtype = Arrays(tmp_path / "data").layout(kind)
        for name, shape in zip(IDS, shapes, strict=True):
            np.save(tmp_path / "data" / f"{kind}_{name}.npy", (9 * rng.random(shape)).astype(dtype))
    return tmp_path / "data"


@pytest.fixture(params=["ram", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    return partial(Memory, limit=1.0) if request.param == "ram" else disk(tmp_path)


def disk(folder: Path) -> Callable[[Any], Files]:
    return partial(Files, folder=str(folder / "cache"), threads=2)


def epochs(arrays: Any, workers: int, count: int = 3) -> list[dict[str, Any]]:
    """Return all batches of some epochs."""
    order = EpochBatches({"all": Order(len(IDS), 2, False, 0)})
    loader = TrainingLoader({"all": Samples(arrays)}, order, num_workers=workers, persistent_workers=workers > 0)
    batches = []
    for epoch in range(count):
        order.set_epoch(epoch)
        batches += [batch["all"] for batch in loader]
    return batches


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_changes_no_bit(root: Path, cache: Callable, workers: int) -> None:
    plain, cached = epochs(Arrays(root), 0), epochs(cache(Arrays(root)), workers)
    for one, other in zip(plain, cached, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in ("index", "sum", "mask"))


def test_a_cache_can_be_pickled_without_its_arrays_and_arrays_may_be_changed(root: Path, cache: Callable) -> None:
    cached = cache(Arrays(root))
    sent = pickle.dumps(cached)
    np.testing.assert_array_equal(pickle.loads(sent).read("image", 3), Arrays(root).read("image", 3))
    assert len(sent) < 1000
    for _ in range(3):
        array = cached.read("image", 3)
        np.testing.assert_array_equal(array, Arrays(root).read("image", 3))
        array += 1


class TestMemory:
    def test_workers_share_it(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cached = Memory(Arrays(root), limit=1.0)
        epochs(cached, workers=2, count=1)
        monkeypatch.setattr(Arrays, "read", lambda self, kind, index: pytest.fail("decoded again"))
        assert len(epochs(cached, workers=0, count=1)) == 4  # in this process, which has decoded none

    def test_too_large_a_source_is_not_kept(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            cached = Memory(Arrays(root), limit=1e-9)
        assert "data.cache.limit=1e-09" in caplog.text and cached.values == {}
        np.testing.assert_array_equal(cached.read("image", 3), Arrays(root).read("image", 3))


class TestFiles:
    def test_they_are_built_once(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        disk(tmp_path)(Arrays(root))
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
        monkeypatch.setattr(Arrays, "read", lambda self, kind, index: pytest.fail("decoded again"))
        disk(tmp_path)(Arrays(root))
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == before
        assert sorted(name.split("-")[1] for name in before) == ["image", "mask"]

    def test_a_changed_file_is_decoded_again(self, root: Path, tmp_path: Path) -> None:
        before = {kind: fingerprint(Arrays(root), kind) for kind in ("image", "mask")}
        disk(tmp_path)(Arrays(root))
        np.save(root / "image_i0.npy", np.ones((4, 3), np.float32))
        assert {kind for kind in before if before[kind] != fingerprint(Arrays(root), kind)} == {"image"}
        np.testing.assert_array_equal(disk(tmp_path)(Arrays(root)).read("image", 0), Arrays(root).read("image", 0))

    def test_values_and_code_are_in_the_fingerprint(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Own(Arrays):
            """Another class of this module."""

        usual = fingerprint(Arrays(root), "image")
        assert usual == fingerprint(Arrays(root), "image")
        assert len({usual, fingerprint(Arrays(root, value=1), "image"), fingerprint(Own(root), "image")}) == 3
        monkeypatch.setattr(cache_module, "sha256", lambda path: path.name)
        before = fingerprint(Arrays(root), "image")
        monkeypatch.setattr(cache_module, "sha256", lambda path: path.name.replace("dicom.py", "changed"))
        assert before != fingerprint(Arrays(root), "image")  # all code that reads files counts

    @pytest.mark.parametrize("content", [b"", b"rubbish", None])
    def test_a_damaged_file_is_built_again(self, root: Path, tmp_path: Path, content: bytes | None) -> None:
        path = disk(tmp_path)(Arrays(root)).paths["image"]
        path.write_bytes(path.read_bytes()[:-10] if content is None else content)
        np.testing.assert_array_equal(disk(tmp_path)(Arrays(root)).read("image", 6), Arrays(root).read("image", 6))

    def test_a_failed_build_leaves_nothing(self, root: Path, tmp_path: Path) -> None:
        np.save(root / "image_i1.npy", np.ones((4, 9), np.float32))
        with pytest.raises(ValueError, match=r"i1: expected float32 \[4, 4\] .*cache=none"):
            disk(tmp_path)(Arrays(root))
        (root / "image_i1.npy").write_bytes(b"no array")
        with pytest.raises(ValueError):
            disk(tmp_path)(Arrays(root))
        assert list((tmp_path / "cache").iterdir()) == []

    def test_jobs_that_start_together_build_one_set(self, root: Path, tmp_path: Path) -> None:
        context = multiprocessing.get_context("fork")
        jobs = [context.Process(target=disk(tmp_path), args=(Arrays(root),)) for _ in range(3)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(60)
        assert [job.exitcode for job in jobs] == [0, 0, 0]
        assert len(list((tmp_path / "cache").iterdir())) == 2
