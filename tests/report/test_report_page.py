"""The page of a report, as text and in a browser."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from fovea.report.report_page import headline, mean_curve, write_figures, write_report_page
from fovea.report.runs import find_runs
from fovea.report.study import Study, study
from fovea.runtime.record import write_failure

MakeRun = Callable[..., Path]
HOSTILE = "<script>alert(1)</script>'&amp;</td>"
IDS = [f"<img src=x onerror=alert(1)>\"'{number}</script>" for number in range(12)]


def made(folder: Path, baseline: str | None = None) -> Study:
    return study(find_runs(str(folder), "val", "dice"), [], baseline, "dice", 0.05, 200, 0)


def page(folder: Path, megabytes: float = 1.0) -> str:
    write_report_page(folder / "report.html", made(folder / "runs"), megabytes)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> Path:
    """Return the folder of three rates with two seeds each, and of runs that are not finished."""
    for rate, dice in {0.1: 0.4, 0.2: 0.6, 0.3: 0.5}.items():
        for seed in (0, 1):
            make_run(f"{rate}/{seed}", {"optimizer.lr": rate}, seed=seed, dice=dice)
    make_run("cut", {"optimizer.lr": 0.2}, seed=2, until="cut")
    make_run("begun", {"optimizer.lr": 0.4}, until="begun")
    return tmp_path


@pytest.fixture
def hostile(make_run: MakeRun, tmp_path: Path) -> Path:
    """Return the folder of runs whose names, settings and facts try to be HTML."""
    for name in (HOSTILE.replace("/", ""), "b"):
        folder = make_run(name, {"supervision.consistency": f"{HOSTILE}{name}", "data.name": HOSTILE}, ids=IDS)
        about = json.loads((folder / "provenance.json").read_text())
        about |= {"git": {"commit": HOSTILE, "state": HOSTILE}, "platform": HOSTILE, "versions": {HOSTILE: HOSTILE}}
        (folder / "provenance.json").write_text(json.dumps(about))
    write_failure(make_run(f"{HOSTILE.replace('/', '')}2", until="begun"), "failed", HOSTILE)
    return tmp_path


def test_the_seeds_of_folds_are_told_once(make_run: MakeRun, tmp_path: Path) -> None:
    for fold, ids in enumerate((["a", "b"], ["c", "d"])):
        for seed in (0, 1):
            make_run(f"{fold}{seed}", {"data.fold": [fold, 2]}, seed=seed, ids=ids)
    content = page(tmp_path)
    assert 'title="seeds 0, 1">2<' in content and content.count('class="seed"') == 2  # marks in the plot of the row


def test_the_page_has_every_part_is_reproducible_and_needs_no_network(runs: Path) -> None:
    text = page(runs)
    assert len(re.findall("<h2", text)) == 8 and 'id="image-scores"' in text
    assert "6 finished runs" in text and "1 incomplete" in text and "1 failed" in text
    assert text.count('<polyline class="run"') == 14  # two charts, the run that was cut among the others
    assert text.count("data:image/jpeg;base64,") == 3
    assert "lr=0.2 has the best mean" in text and ">01234567<" in text
    assert text == page(runs)
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,|#)', text) == []
    assert "url(" not in text and "https://" not in text
    assert re.findall(r"http://\S+", text) == ['http://www.w3.org/2000/svg",']  # the name of SVG, not fetched
    for rate in ("0.1", "0.3", "begun"):
        shutil.rmtree(runs / "runs" / rate)
    assert 'id="image-scores"' not in page(runs)  # a single configuration has no scatter


def test_charts_are_pdf_too(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="need typst; install it with `make pdf`"):
        patch.setitem(sys.modules, "typst", None)
        write_figures(runs, made(runs / "runs"), as_pdf=True)
    pytest.importorskip("typst")
    write_figures(runs, made(runs / "runs"), as_pdf=True)
    written = {path.name: path.read_bytes() for path in (runs / "charts").glob("*.pdf")}
    assert sorted(written) == ["dice_optimizer.lr.pdf", "train_loss.pdf", "val_dice.pdf"]
    assert all(b"/MediaBox[0 0 420 " in each and b"/FontFile3" in each for each in written.values())  # 560 px in points
    write_figures(runs, made(runs / "runs"))
    assert list((runs / "charts").glob("*.pdf")) == []


def test_figures_are_files_with_a_legend(runs: Path) -> None:
    write_figures(runs, made(runs / "runs"))
    names = ["dice_optimizer.lr.svg", "train_loss.svg", "val_dice.svg"]
    assert sorted(path.name for path in (runs / "charts").iterdir()) == names
    sheets = sorted(path.name for path in (runs / "sheets").iterdir())
    assert sheets == ["01_lr=0.1.png", "02_lr=0.2.png", "03_lr=0.3.png"]
    assert (runs / "sheets" / sheets[1]).read_bytes() == next((runs / "runs/0.2/0").rglob("*.png")).read_bytes()
    root = ElementTree.parse(runs / "charts" / "val_dice.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    legend = [group for group in root if group.get("transform")]
    assert [group[1].text for group in legend] == ["lr=0.1", "lr=0.2", "lr=0.3"]


def test_figures_of_an_earlier_report_are_removed(runs: Path) -> None:
    write_figures(runs, made(runs / "runs"))
    (runs / "charts" / "mine.svg").write_text("<svg/>")
    (runs / "kept").touch()
    (runs / "out").mkdir()
    (runs / "figures.json").rename(runs / "out" / "figures.json")
    (runs / "charts").rename(runs / "out" / "charts")
    listed = json.loads((runs / "out" / "figures.json").read_text())
    (runs / "out" / "figures.json").write_text(json.dumps([*listed, "../kept"]))
    for path in [*(runs / "runs" / "0.2").rglob("training.json"), *(runs / "runs" / "0.3").rglob("training.json")]:
        path.unlink()
    write_figures(runs / "out", made(runs / "runs"))
    assert sorted(path.name for path in (runs / "out").rglob("*.*g")) == [
        *("01_all_runs.png", "mine.svg", "train_loss.svg", "val_dice.svg")
    ]
    assert (runs / "kept").exists()


def test_pictures_are_limited_and_may_be_damaged(runs: Path) -> None:
    assert "Pictures, from" not in page(runs, 0)
    one = len(re.findall(r'src="(data:[^"]*)"', page(runs))[0])
    assert page(runs, one * 1.5 / 1e6).count("data:image") == 1
    for path in (runs / "runs").rglob("contact_sheet.png"):
        path.write_bytes(b"no picture")
    assert "Pictures, from" not in page(runs)


def test_the_mean_curve_has_the_shared_steps() -> None:
    one, two = (np.array([0, 10, 20]), np.array([0.0, 1.0, 1.0])), (np.array([5, 10]), np.array([1.5, 2.0]))
    steps, values = mean_curve([one, two])
    assert steps.tolist() == [5, 10] and values.tolist() == [1.0, 1.5]
    assert len(mean_curve([(np.array([0]), np.array([1.0])), (np.array([5]), np.array([1.0]))])[0]) == 0


@pytest.mark.parametrize(
    ("baseline", "tone", "text"),
    [
        ("0.1", "better", "a difference between these trained networks"),
        ("0.2", "baseline", "others that are shown to be worse: 2 of 2"),
    ],
)
def test_the_headline_names_the_best(runs: Path, baseline: str, tone: str, text: str) -> None:
    result = headline(made(runs / "runs", f"lr={baseline}"))
    assert result[0] == tone and text in result[1] and "lr=0.2 has the best mean" in result[1]


def test_all_text_is_escaped(hostile: Path) -> None:
    text = page(hostile)
    assert text.count("<script") == 2 and text.count("</script>") == 2  # the scores, as JSON, and the page's own
    assert f">{escape(HOSTILE)}</td></tr>" in text.replace("&#39;", "&#x27;")  # the reason of the failure
    assert "<img src=x" not in text and "&lt;script&gt;alert(1)" in text and "onerror=alert(1)&gt;" in text
    scores = re.search(r'id="image-scores">(.*?)</script>', text, re.S)
    assert scores is not None and json.loads(scores.group(1))["ids"] == sorted(IDS)


def seen(browse: Callable[[Path], str], folder: Path, script: str) -> list:
    """Run a script in the page and return its list `out`, with the errors of the page last."""
    path = folder / "opened.html"
    watch = "const errors = []; addEventListener('error', e => errors.push(e.message));"
    text = (folder / "report.html").read_text(encoding="utf-8")
    text = text.replace("<body>", f"<body><script>{watch}</script>", 1)
    end = "document.body.dataset.out = encodeURIComponent(JSON.stringify([...out, errors]));"
    path.write_text(
        text.replace("</body>", f"<script>const out = [];\n{script}\n{end}</script></body>"), encoding="utf-8"
    )
    text = browse(path)
    left = re.search(r'data-out="([^"]*)"', text)
    assert left is not None, text[-2000:]
    return json.loads(unquote(left.group(1)))


CLICKS = """
const rows = () => [...document.querySelectorAll("#scores tbody tr")].filter(row => !row.hidden);
const names = () => rows().map(row => row.cells[0].textContent.trim());
const column = title => [...document.querySelectorAll("#scores th button")].find(b => b.textContent === title);
out.push(names());
column("dice").click(); out.push(names());
column("dice").click(); out.push(names());
column("configuration").click(); out.push(names());
const filter = document.querySelector("input[data-table=scores]");
const type = text => { filter.value = text; filter.dispatchEvent(new Event("input")); };
type("LR=0.2"); out.push(names(), filter.nextElementSibling.textContent);
type(""); out.push(names().length);
"""
CHOICES = """
const points = () => [...document.querySelectorAll("#scatter .points circle")].map(
  point => ["cx", "cy"].map(name => Number(point.getAttribute(name))));
const [across, up] = document.querySelectorAll("#scatter select");
const tell = () => out.push(points(), document.getElementById("balance").textContent);
tell();
up.dispatchEvent(new Event("change")); tell();
up.value = "2"; up.dispatchEvent(new Event("change")); tell();
out.push([...document.querySelectorAll("#scatter .name")].map(text => text.textContent));
across.value = "2"; across.dispatchEvent(new Event("change")); out.push(document.getElementById("balance").textContent);
out.push(document.querySelector("#scatter .points title").textContent);
"""


@pytest.mark.slow
def test_tables_are_sorted_and_filtered(browse: Callable[[Path], str], runs: Path) -> None:
    page(runs)
    first, rising, falling, by_name, filtered, count, number, errors = seen(browse, runs, CLICKS)
    assert first == by_name == ["lr=0.1", "lr=0.2", "lr=0.3"]
    assert rising == ["lr=0.1", "lr=0.3", "lr=0.2"] and falling == rising[::-1]
    assert (filtered, count, number, errors) == (["lr=0.2"], "1 of 3", 3, [])


@pytest.mark.slow
def test_any_two_configurations_can_be_drawn(browse: Callable[[Path], str], runs: Path) -> None:
    page(runs)
    before, text, again, same, after, balance, titles, even, point, errors = seen(browse, runs, CHOICES)
    assert text == same and again == [pytest.approx(place, abs=0.06) for place in before]
    assert len(after) == 24 and all(new > old for (_, new), (_, old) in zip(after, before, strict=True))
    assert balance == "24 images higher up, 0 higher across; mean difference +0.1000"
    assert titles == ["lr=0.1", "lr=0.3"]
    assert even == "0 images higher up, 0 higher across; mean difference +0.0000"
    assert re.fullmatch(r"image0: (0\.\d{4}), \1", point) and errors == []
