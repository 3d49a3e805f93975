"""The store keeps maps without loss, knows how they were made, and stays inside its folder."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fovea.data.store import Store
from fovea.runtime.files import sha256

HOSTILE = ["../a", "/etc/a", "a/b", "a\\b", "..", ".a", "", "a\0b"]


def content(**changes: Any) -> dict[str, Any]:
    return {"parameters": {"labels.sigma": 50}, "images": {"a": {}}, "unlabeled": ["b"], "failures": {}} | changes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.start()
    store.write("a", np.random.default_rng(0).random((5, 7)))
    return store


class TestMaps:
    def test_every_level_is_kept(self, store: Store) -> None:
        levels = np.arange(65536).reshape(256, 256) / 65535
        store.write("a", levels)
        np.testing.assert_array_equal(np.rint(store.read("a") * 65535), levels * 65535)
        stored = cv2.imread(str(store.path / "maps" / "a.png"), cv2.IMREAD_UNCHANGED)
        assert (store.read("a").dtype, stored.dtype, stored.shape) == (np.float32, np.uint16, (256, 256))

    @pytest.mark.parametrize(("value", "span"), [(np.nan, "nan to nan"), (255, "0.5 to 255"), (-0.1, "-0.1 to 0.5")])
    def test_values_of_another_range_are_refused(self, store: Store, value: float, span: str) -> None:
        before = store.read("a")
        store.write("b", np.array([[-1e-7, 1 + 1e-7]]))
        np.testing.assert_array_equal(store.read("b"), [[0, 1]])
        with pytest.raises(ValueError, match=f"the map of a has values from {span}; a refiner returns"):
            store.write("a", np.array([[0.5, value]]))
        np.testing.assert_array_equal(store.read("a"), before)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            *((cut, r"a\.png: truncated; run fovea-prepare") for cut in (-20, -1, 30, 0)),
            (np.zeros((4, 4), np.uint8), r"a\.png: not a 16-bit gray PNG"),
            (np.zeros((4, 4, 3), np.uint16), r"a\.png: not a 16-bit gray PNG"),
            (None, r"cannot read .*a\.png: no such file.*; run fovea-prepare store="),
        ],
    )
    def test_damaged_map(self, store: Store, change: Any, message: str) -> None:
        path = store.path / "maps" / "a.png"
        if isinstance(change, int):
            path.write_bytes(path.read_bytes()[:change])
        elif change is None:
            path.unlink()
        else:
            cv2.imwrite(str(path), change)
        with pytest.raises(ValueError, match=message):
            store.read("a")

    @pytest.mark.parametrize("image_id", HOSTILE)
    def test_ids_stay_inside_the_folder(self, store: Store, image_id: str) -> None:
        with pytest.raises(ValueError, match="is not an image ID"):
            store.read(image_id)
        (store.path / "manifest.json").write_text(json.dumps(content(images={image_id: {}})))
        with pytest.raises(ValueError, match="is not an image ID"):
            _ = store.manifest

    def test_a_map_has_a_record_unless_it_is_damaged(self, store: Store) -> None:
        record = {"made_of": "ab" * 32, "mean": 0.25, "name": "Größe"}
        store.write("a", np.full((5, 7), 0.5), record)
        assert store.record("a") == record and store.record("nothing") is None
        np.testing.assert_allclose(store.read("a"), 0.5, atol=1e-5)
        path = store.path / "maps" / "a.png"
        complete = path.read_bytes()
        for damaged in (b"", complete[:30], complete[:60], complete[:-1], complete.replace(b"mean", b"meen")):
            path.write_bytes(damaged)
            assert store.record("a") is None
        cv2.imwrite(str(path), np.zeros((5, 7), np.uint16))
        assert store.record("a") is None


class TestManifest:
    def test_lists_maps_until_one_is_written(self, store: Store) -> None:
        with pytest.raises(ValueError, match=r"no manifest\.json in .*: run fovea-prepare"):
            _ = store.manifest
        store.finish(content())
        assert (store.ids, store.has("a"), store.has("b")) == (["a"], True, False)
        store.write("a", np.zeros((2, 2)))
        assert sorted(path.name for path in store.path.rglob("*")) == ["a.png", "maps"]

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"images": []}', '"\\ud800"', json.dumps(content(images=[]))]
    )
    def test_damaged(self, store: Store, text: str) -> None:
        (store.path / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"manifest\.json: (damaged|not the manifest)"):
            _ = store.manifest

    def test_old_names_are_read(self, store: Store) -> None:
        old = {"gaze.sigma": 50.0, "gaze.crf.backend": "lattice", "gaze.crf.compat": 1.0}
        manifest = {"parameters": old, "images": {}, "failures": {}, "without_fixations": ["b"]}
        store.finish(manifest | {"fixations": {"rows": 9}})
        present = {"labels": "gaze", "labels.sigma": 50, "refine": "lattice", "refine.compat": 1}
        assert store.differences(present) == []
        assert store.manifest["unlabeled"] == ["b"] and store.manifest["labels"] == {"rows": 9}

    def test_difference_names_the_command(self, store: Store) -> None:
        store.finish(content())
        store.check({"labels.sigma": 50.0})
        message = (
            r"labels\.sigma is 70 here but the store has 50; set .*/store_\w{8} and run fovea-prepare store=.*_\w{8}$"
        )
        with pytest.raises(ValueError, match=message):
            store.check({"labels.sigma": 70})
        assert store.differences({"labels.sigma": 50.0, "labels.fuse": "agreement"}) == [
            "labels.fuse is agreement here but the store has its default"
        ]
        assert store.differences({}) == ["labels.sigma is at its default here but the store has 50"]
        [other] = store.differences({"labels.sigma": 50, "refine": "guided", "refine.radius": 3})
        assert other.startswith("refine is guided here")

    def test_labels_are_compared(self, store: Store, tmp_path: Path) -> None:
        for name in ("mine", "other"):
            (tmp_path / f"{name}.csv").write_text(name)
        mine, other, gone = (str(tmp_path / f"{name}.csv") for name in ("mine", "other", "gone"))
        store.finish(content(labels={"sha256": sha256(Path(mine))}))
        for labels in (mine, gone, None):
            store.check({"labels.sigma": 50}, labels)
        with pytest.raises(
            ValueError, match=r"labels\.path=.*other\.csv is not the file that its maps were made from; "
        ):
            store.check({"labels.sigma": 50}, other)
        for old in ({}, {"labels": {"rows": 9}}):
            store.finish(content(**old))
            store.check({"labels.sigma": 50}, other)

    def test_images_are_compared(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_text("a")
        store.finish(content(images={"a": {"sha256": sha256(tmp_path / "a.png")}, "b": {}}))
        store.check({"labels.sigma": 50}, None, {"a": tmp_path / "a.png", "b": tmp_path / "a.png"})
        (tmp_path / "a.png").write_text("b")
        several = {"a": tmp_path / "a.png", "b": tmp_path / "a.png"}
        for images, advice in ((several, "run fovea-prepare .*store"), ({"a": several["a"]}, "set store=")):
            message = rf"the maps of a were made for other image files than data\.root has; set .*, or {advice}"
            with pytest.raises(ValueError, match=message):
                store.check({"labels.sigma": 50}, None, images)


def test_a_map_that_another_process_replaces_while_it_is_used_is_refused(store: Store) -> None:
    """A training reads its maps one by one, long after it has checked the manifest."""
    store.write("a", np.zeros((2, 2)), {"made_of": "these"})
    store.finish(content(images={"a": {"made_of": "these"}}))
    used = Store(store.path)
    assert used.read("a", described=True).max() == 0
    store.write("a", np.ones((2, 2)), {"made_of": "others"})
    with pytest.raises(ValueError, match=r"a\.png: another process has made this map again from other inputs; run"):
        used.read("a", described=True)


def test_start_removes_files_of_killed_processes(store: Store) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = socket.gethostname()
    for owner in (f"{host}-{dead.pid}", f"{host}-{os.getpid()}", f"elsewhere-{dead.pid}"):
        (store.path / "maps" / f".{owner}-x1y2.tmp").write_bytes(b"half")
    store.start()
    left = sorted(path.name for path in (store.path / "maps").iterdir())
    assert left == sorted([f".{host}-{os.getpid()}-x1y2.tmp", f".elsewhere-{dead.pid}-x1y2.tmp", "a.png"])
