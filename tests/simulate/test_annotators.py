"""Simulated boxes, clicks and scribbles: their rules, and that the labels read what is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from fovea.data.images.folder import Folder
from fovea.prepare.labels.boxes import Boxes
from fovea.prepare.labels.points import Points
from fovea.prepare.labels.scribbles import Scribbles
from fovea.runtime.config import instantiate
from fovea.simulate.folder import simulate_folder
from fovea.simulate.scribbles import around, center_line

OBSERVERS = Path(__file__).parents[2] / "configs" / "observer"
MASK = np.zeros((100, 140), np.uint8)
cv2.ellipse(MASK, (50, 45), (30, 18), 20, 0, 360, 1, -1)
cv2.circle(MASK, (120, 80), 10, 1, -1)
SPECK = MASK.copy()
SPECK[2, 2] = 1


def annotator(name: str, **numbers: Any) -> Any:
    values: Any = OmegaConf.to_container(OmegaConf.load(OBSERVERS / f"{name}.yaml"))
    return instantiate(values | numbers, "observer")


def labels(name: str, mask: np.ndarray, seed: int = 0, **numbers: Any) -> Any:
    return annotator(name, **numbers).label("a.png", mask, np.random.default_rng(seed))


def test_boxes_are_the_bounds_of_the_parts() -> None:
    rows = labels("box", SPECK, jitter=0.0)
    bounds = [cv2.boundingRect(part) for part in (MASK * (np.arange(140) < 100), MASK * (np.arange(140) >= 100))]
    assert rows == [("a.png", x, y, x + width, y + height) for x, y, width, height in bounds]
    assert len(labels("box", SPECK, smallest=0.0)) == 3 and labels("box", MASK * 0) == []


def test_jitter_is_a_share_of_the_side() -> None:
    exact = np.array([row[1:] for row in labels("box", MASK, jitter=0.0)])[0]
    moved = np.array([labels("box", MASK, seed, jitter=0.05)[0][1:] for seed in range(200)])
    sides = np.tile(exact[2:] - exact[:2], 2)
    np.testing.assert_allclose(np.std((moved - exact) / sides, axis=0), 0.05, atol=0.01)
    wild = np.array([labels("box", MASK, seed, jitter=2.0)[1][1:] for seed in range(50)])
    assert (wild[:, :2] < wild[:, 2:]).all() and wild.min() >= 0 and (wild[:, 2:] <= (140, 100)).all()


@pytest.mark.parametrize("mask", [MASK, MASK * 0, MASK * 0 + 1])
def test_clicks_are_inside_and_outside(mask: np.ndarray) -> None:
    rows = labels("point", mask, foreground=5, background=5)
    kinds = [kind for *_, kind in rows]
    assert (kinds.count(1), kinds.count(0)) == (5 * mask.any(), 5 * (mask == 0).any())
    assert [mask[int(float(y)), int(float(x))] for _, x, y, _ in rows] == kinds
    near = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    assert not any(near[int(float(y)), int(float(x))] for _, x, y, kind in rows if kind == 0)
    unknown = np.where(np.arange(140) < 110, mask.astype(np.int16), -1)  # no click where nobody labeled
    clicks = labels("point", unknown, foreground=5, background=50)
    assert [unknown[int(float(y)), int(float(x))] for _, x, y, _ in clicks] == [kind for *_, kind in clicks]
    [(file, x, y, kind)] = labels("point", MASK)  # in the middle of the largest part
    assert (file, kind) == ("a.png", 1) and np.hypot(float(x) - 50, float(y) - 45) < 4


def test_strokes_have_their_length_and_stay_on_their_side() -> None:
    picture = labels("scribble", SPECK)
    assert set(np.unique(picture)) == {0, 1, 255}
    assert (SPECK[picture == 1] == 1).all() and (SPECK[picture == 0] == 0).all() and picture[2, 2] == 255
    assert cv2.connectedComponents((picture == 1).astype(np.uint8))[0] == 3  # a stroke in each part
    whole, half = ((labels("scribble", MASK, length=length) == 1).sum() for length in (1.0, 0.5))
    assert half == pytest.approx(whole / 2, rel=0.15)
    assert (labels("scribble", MASK, width=0.03) == 1).sum() > 2 * half
    assert labels("scribble", MASK * 0).size == 0
    full = np.ones((60, 60), np.uint8)
    full[:, :2] = 0
    assert set(np.unique(labels("scribble", full))) == {0, 1, 255}


def test_the_center_line_keeps_to_the_middle() -> None:
    arc = cv2.ellipse(np.zeros((300, 400), np.uint8), (200, 200), (150, 120), 0, 180, 360, 1, 30)
    line = center_line(arc)
    [contour], _ = cv2.findContours(arc, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    middle = line[len(line) // 10 : -len(line) // 10]
    assert min(abs(cv2.pointPolygonTest(contour, point.tolist(), True)) for point in middle) > 9
    assert np.abs(line[0] - line[-1]).max() > 250  # from one end to the other
    for tiny in ([[1]], [[0, 0], [0, 1]], [[1, 0], [0, 1]]):
        assert len(center_line(np.array(tiny, np.uint8))) == np.sum(tiny)
    vessel = cv2.polylines(np.zeros((100, 2000), np.uint8), [np.array([[5, 95], [900, 3], [1990, 60]])], False, 1)
    x, y = center_line(vessel).T
    assert vessel[y, x].all() and len(x) == vessel.sum()


@pytest.mark.parametrize("shift", [0, -40, 60])
def test_the_line_around_has_one_distance(shift: int) -> None:
    mask = cv2.warpAffine(
        MASK * (np.arange(140) < 100).astype(np.uint8), np.array([[1.0, 0, shift], [0, 1, 0]]), (140, 100)
    )
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    [line] = around(mask, 5.0)
    assert len(line) > 40 and np.abs(distance[line[:, 1], line[:, 0]] - 5).max() < 1.5


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for image_id in "abc":
            cv2.imwrite(str(tmp_path / name / f"{image_id}.png"), (MASK * 255) if image_id != "c" else MASK * 0)
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "label", "ids", "count"),
    [
        ("box", lambda path: Boxes(path, "pixels", 0.9, 0.4), "ab", 4),
        ("point", lambda path: Points(path, "pixels", 70.0, 768), "ab", 2),
        ("scribble", lambda path: Scribbles(path, 255), "ab", 2),
    ],
)
def test_labels_read_what_is_written(name: str, label: Any, ids: Sequence[str], count: int, folder: Folder) -> None:
    out = folder.root / "out"
    assert simulate_folder(folder, out, annotator(name)) == (count, 3)
    made = label(str(out))
    table = made.read(folder.ids)
    assert [image_id for image_id in folder.ids if len(table.of(image_id))] == list(ids)
    drawn = made.draw(table.of("a"), MASK.shape)
    assert drawn[MASK > 0].mean() > drawn[MASK == 0].mean()


def test_structures_that_count_as_one_are_reported(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    for image_id in folder.ids:
        cv2.imwrite(str(folder.mask_path(image_id)), MASK * 2)
    for classes in (1, 3):
        values = {0: "background", 2: "lesion"} if classes == 1 else None
        several = Folder(folder.root, classes=classes, labels=values)
        assert simulate_folder(several, folder.root / "out", annotator("box")) == (6, 3)
        assert ("data.classes=3: labels and maps have one class, so all structures" in caplog.text) == (classes > 1)


def test_a_folder_is_replaced_only_if_nobody_changed_it(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder.root / "scribbles"
    simulate_folder(folder, out, annotator("scribble"))
    first = (out / "a.png").read_bytes()
    (folder.root / "masks" / "b.png").unlink()
    simulate_folder(Folder(folder.root), out, annotator("scribble"), seed=1)
    with monkeypatch.context() as patched, pytest.raises(TypeError):  # the process ends before the JSON is written
        patched.setattr("fovea.simulate.folder.write_json", None)
        simulate_folder(Folder(folder.root), out, annotator("scribble"), seed=2)
    simulate_folder(Folder(folder.root), out, annotator("scribble"), seed=1)
    assert sorted(path.name for path in out.iterdir()) == ["a.png"] and (out / "a.png").read_bytes() != first
    assert not list(folder.root.glob(".*.tmp"))
    (out / "mine.png").write_bytes(first)
    with pytest.raises(ValueError, match=r"out: .*scribbles exists, and fovea-simulate did not write it"):
        simulate_folder(folder, out, annotator("scribble"))
    assert (out / "mine.png").read_bytes() == first
