"""The quality page, read as text and opened in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fovea.data.fixations import Fixations
from fovea.pictures.overlay import TRUTH
from fovea.prepare.quality import measure
from fovea.prepare.verdict import Survey
from fovea.report.quality_page import MAX_ROWS, pictures, ranking, write_quality_page

HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;</script>"
PARAMETERS = {"labels.sigma": 70.0, "refine": "none"}


def row(seed: int, masked: bool) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    heat = rng.random((12, 16))
    gaze = Fixations(rng.random(5), rng.random(5), rng.uniform(60, 400, 5))
    return measure(gaze, heat, np.clip(heat + 0.1, 0, 1), (0.5, 0.3), heat > 0.6 if masked else None)


def survey(masked: int, images: int = 9) -> Survey:
    rows = {f"image{number}": row(number, number < masked) for number in range(images - 1)}
    rows[HOSTILE] = row(99, masked > 0)
    counts = {"rows": 45, "used": 45, "outside_image": 0, "unknown_image": 0, "unsafe_name": 0}
    return Survey(rows, (0.5, 0.3), [f"empty{HOSTILE}"], counts, {"bad": f"images/bad.png: {HOSTILE}"})


def view(image_id: str) -> tuple:
    """The same files for every image; the heatmap is the map."""
    heat = np.zeros((30, 40), np.float32)
    return np.full((30, 40, 3), 9, np.uint8), Fixations(*np.full((3, 1), 0.5)), heat, heat, None


def page(tmp_path: Path, made: Survey) -> str:
    write_quality_page(tmp_path / "quality.html", made, view, PARAMETERS)
    return (tmp_path / "quality.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("masked", [0, 1, 5, 8])
def test_the_page_is_escaped_reproducible_and_alone(tmp_path: Path, masked: int) -> None:
    made = survey(masked)
    text = page(tmp_path, made)
    assert "onerror=alert(1)&gt;" in text
    assert "<img src=x" not in text and text.count("</script>") == 1 and "&amp;amp;" in text
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', text) == []
    assert "url(" not in text and "http://" not in text and "https://" not in text
    turned = Survey(dict(reversed(made.rows.items())), made.thresholds, made.empty, made.counts, made.failures)
    assert page(tmp_path, turned) == text


def test_the_parts_depend_on_the_masks(tmp_path: Path) -> None:
    made = survey(5)
    text = page(tmp_path, made)
    assert made.verdict().headline[1:] in text and made.verdict().advice in text
    assert "'labels.thresholds=[" in text and '<figure class="example">' in text
    text = page(tmp_path, survey(0, images=MAX_ROWS + 20))
    assert "Best levels" not in text and "Most scattered gaze" in text and "no masks opened" in text
    assert text.count("<tr><td title=") == MAX_ROWS and f"all {MAX_ROWS + 20} are in quality.csv" in text
    assert len(text) < 500_000
    assert "<h2>Best images" not in page(tmp_path, survey(1, images=1))
    boxes = {"a": measure(None, np.eye(4), np.eye(4), (0.5,), np.eye(4))}
    text = page(tmp_path, Survey(boxes, (0.5,), [], made.counts, {}))
    assert "<b>a</b> · Dice 1.00 at 0.5; agreement 1.00" in text
    assert (
        "No pair of levels is better" in text
        and "best pair" not in text
        and "supervision=pseudo 'labels.thresholds=[0.02]'" in text
    )

    def deleted(image_id: str) -> tuple:
        raise ValueError(f"cannot read {image_id}")

    write_quality_page(tmp_path / "quality.html", made, deleted, PARAMETERS)
    assert '<figure class="example">' not in (tmp_path / "quality.html").read_text()


def test_ranking() -> None:
    made, bare = survey(4), survey(0)
    scores = [made.rows[image_id].get("map@0.5") for image_id in ranking(made)]
    assert scores[:5] == sorted(score for score in scores if score is not None) and scores[5:] == [None] * 4
    spread = [bare.rows[image_id]["dispersion"] for image_id in ranking(bare)]
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_shows_the_mask(channels: int) -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 15:35] = 2
    heat = mask * np.float32(0.4)
    gaze = Fixations(np.array([0.5]), np.array([0.5]), np.array([200.0]))
    shown = pictures(np.zeros((40, 50, channels), np.uint8), gaze, heat, heat / 2, mask, 0.5)
    assert list(shown) == ["fixations", "heatmap", "map", "level 0.5"]
    distances = [np.abs(picture.astype(int) - TRUTH).max(axis=2).min() for picture in shown.values()]
    assert max(distances) < 60  # the line is antialiased
    assert "heatmap" not in pictures(np.zeros((40, 50, channels), np.uint8), gaze, heat, heat, None, 0.5)


def opened(browse: Callable[[Path], str], tmp_path: Path, script: str) -> str:
    """The page in the browser after a script has run."""
    path = tmp_path / "quality.html"
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>"))
    return browse(path)


@pytest.mark.parametrize("clicks", [1, 2])
def test_click_on_heading_sorts_and_reverses(browse: Callable[[Path], str], tmp_path: Path, clicks: int) -> None:
    page(tmp_path, survey(5))
    press = "[...document.querySelectorAll('#images th button')].find(b => b.textContent === 'inside').click();"
    text = opened(browse, tmp_path, press * clicks)
    head, body = re.search(r"<thead>.*?aria-sort=\"(\w+)\".*?</thead>\s*<tbody.*?>(.*?)</tbody>", text, re.S).groups()  # type: ignore[union-attr]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line)[5] for line in re.findall(r"<tr>(.*?)</tr>", body)]
    values = [float(cell) for cell in cells if cell]
    assert head == ("ascending", "descending")[clicks - 1]
    assert len(set(values)) > 1 and values == sorted(values, reverse=clicks == 2)
    assert cells[len(values) :] == [""] * 3  # images without a mask stay last
