"""The store keeps maps without loss, knows what they are, and lets nothing lead out of its folder."""

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

HOSTILE = ["../a", "/etc/a", "a/b", "a\\b", "..", ".a", "", "a\0b"]


def content(**changes: Any) -> dict[str, Any]:
    manifest = {"parameters": {"labels.sigma": 50.0}, "images": {"a": {}}, "without_fixations": ["b"], "failures": {}}
    return manifest | changes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.start()
    store.write("a", np.random.default_rng(0).random((5, 7)))
    return store


def test_a_map_comes_back_to_half_a_level(store: Store) -> None:
    values = np.random.default_rng(0).random((5, 7))
    np.testing.assert_allclose(store.read("a"), values, atol=0.5 / 65535 + 1e-7)


def test_every_level_is_kept(store: Store) -> None:
    levels = np.arange(65536).reshape(256, 256) / 65535
    store.write("a", levels)
    np.testing.assert_array_equal(np.rint(store.read("a") * 65535), levels * 65535)


def test_a_map_is_float32_and_a_grey_png_of_16_bits(store: Store) -> None:
    stored = cv2.imread(str(store.path / "maps" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert (store.read("a").dtype, stored.dtype, stored.shape) == (np.float32, np.uint16, (5, 7))


def test_values_beyond_the_range_do_not_wrap(store: Store) -> None:
    store.write("a", np.array([[-0.1, 1.1]]))
    np.testing.assert_array_equal(store.read("a"), [[0.0, 1.0]])


def test_has_a_map(store: Store) -> None:
    store.finish(content())
    assert (store.has("a"), store.has("b")) == (True, False)


def test_a_missing_map_says_how_to_make_it(store: Store) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*b\.png: .*; run fovea-prepare store="):
        store.read("b")


def test_a_truncated_map_is_told(store: Store) -> None:
    path = store.path / "maps" / "a.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a\.png: truncated; run fovea-prepare"):
        store.read("a")


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16)])
def test_another_kind_of_image_is_no_map(store: Store, pixels: np.ndarray) -> None:
    cv2.imwrite(str(store.path / "maps" / "a.png"), pixels)
    with pytest.raises(ValueError, match=r"a\.png: not a 16-bit grey PNG"):
        store.read("a")


@pytest.mark.parametrize("image_id", HOSTILE)
def test_no_id_leads_out_of_the_folder(store: Store, image_id: str) -> None:
    with pytest.raises(ValueError, match="is no image id"):
        store.read(image_id)


@pytest.mark.parametrize("image_id", HOSTILE)
def test_a_manifest_with_a_hostile_id_is_refused(store: Store, image_id: str) -> None:
    (store.path / "manifest.json").write_text(json.dumps(content(images={image_id: {}})))
    with pytest.raises(ValueError, match="is no image id"):
        _ = store.manifest


def test_the_manifest_lists_images_with_and_without_a_map(store: Store) -> None:
    store.finish(content(without_fixations=["d", "c"]))
    assert (store.ids, store.without_fixations) == (["a"], ["c", "d"])


def test_a_store_that_is_not_finished_has_no_manifest(store: Store) -> None:
    with pytest.raises(ValueError, match=r"no manifest\.json in .*: run fovea-prepare"):
        _ = store.manifest


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"images": []}', '"\\ud800"', json.dumps(content(images=[]))])
def test_a_damaged_manifest_is_told(store: Store, text: str) -> None:
    (store.path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json: (damaged|not the manifest)"):
        _ = store.manifest


def test_equal_parameters_pass(store: Store) -> None:
    store.finish(content())
    store.check({"labels.sigma": 50})
    assert store.differences({"labels.sigma": 50}) == {}


def test_a_different_parameter_is_named_with_the_command(store: Store) -> None:
    store.finish(content())
    message = r"labels\.sigma is 70\.0 here but the store has 50\.0; run fovea-prepare labels\.sigma=70\.0 store="
    with pytest.raises(ValueError, match=message):
        store.check({"labels.sigma": 70.0})


def test_a_parameter_the_store_knows_nothing_of_is_a_difference(store: Store) -> None:
    store.finish(content())
    assert list(store.differences({"labels.sigma": 50.0, "labels.canvas": 768})) == ["labels.canvas"]


def test_a_file_that_the_manifest_does_not_list_is_left_alone_and_not_served(store: Store) -> None:
    store.write("somebody's", np.zeros((2, 2)))
    store.finish(content())
    assert (store.path / "maps" / "somebody's.png").is_file()
    assert not store.has("somebody's")
    assert "somebody's" not in store.ids


def test_writing_a_map_takes_the_manifest_away(store: Store) -> None:
    store.finish(content())
    store.write("a", np.zeros((2, 2)))
    assert sorted(path.name for path in store.path.rglob("*")) == ["a.png", "maps"]


def test_a_map_carries_its_record(store: Store) -> None:
    record = {"made_of": "ab" * 32, "mean": 0.25, "name": "Größe"}
    store.write("a", np.full((5, 7), 0.5), record)
    assert store.record("a") == record
    np.testing.assert_allclose(store.read("a"), 0.5, atol=1e-5)


def test_only_a_whole_map_of_ours_has_a_record(store: Store) -> None:
    assert store.record("nothing") is None
    store.write("a", np.zeros((5, 7)), {"mean": 1})
    path = store.path / "maps" / "a.png"
    whole = path.read_bytes()
    for damaged in (b"", whole[:30], whole[:60], whole[:-1], whole.replace(b"mean", b"meen")):
        path.write_bytes(damaged)
        assert store.record("a") is None
    cv2.imwrite(str(path), np.zeros((5, 7), np.uint16))
    assert store.record("a") is None


def test_start_takes_away_what_killed_processes_left_and_nothing_else(store: Store) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = socket.gethostname()
    for owner in (f"{host}-{dead.pid}", f"{host}-{os.getpid()}", f"elsewhere-{dead.pid}"):
        (store.path / "maps" / f".{owner}-x1y2.tmp").write_bytes(b"half")
    store.start()
    left = sorted(path.name for path in (store.path / "maps").iterdir())
    assert left == sorted([f".{host}-{os.getpid()}-x1y2.tmp", f".elsewhere-{dead.pid}-x1y2.tmp", "a.png"])


def test_equal_manifests_are_equal_bytes(store: Store) -> None:
    store.finish(content())
    first = (store.path / "manifest.json").read_bytes()
    store.finish(dict(reversed(content().items())))
    assert (store.path / "manifest.json").read_bytes() == first
