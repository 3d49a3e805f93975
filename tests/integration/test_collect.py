"""`fovea-collect` in a real browser: a pointer labels known lesions, and the saved file becomes maps of them."""

import csv
import io
import json
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from fovea.data.store import Store

from .commands import Result, Run, folder

Drive = Callable[..., list]
LESIONS = {  # fractions of the sides: center and half axes
    "a": (0.35, 0.4, 0.14, 0.12),
    "<b>&'x": (0.62, 0.55, 0.12, 0.16),
    "ü 3": (0.5, 0.3, 0.15, 0.13),
}
SIZE = (150, 200)
# What the page needs from a headless browser that draws no frames, keeps no files and has no screen. Only `wait` moves
# its clock, so that a slow machine changes nothing.
BEFORE = """
const errors = [];
addEventListener("error", event => errors.push(event.message));
addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
URL.createObjectURL = blob => { window.blob = blob; return "#"; };
HTMLAnchorElement.prototype.click = function () { window.file = this.download; };
const later = window.setTimeout.bind(window), timers = [];
let time = 1000;
performance.now = () => time;
window.setTimeout = (then, delay = 0, every = null) => { timers.push({ due: time + delay, then, every }); };
window.setInterval = (then, delay) => setTimeout(then, delay, delay);
window.requestAnimationFrame = then => setTimeout(() => then(time), 16);
"""
DRIVER = """
const out = [];
const until = async ready => { while (!ready()) await new Promise(then => later(then, 5)); };
const wait = async delay => {
  const end = time + delay;
  for (;;) {
    const next = timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
    if (!next) break;
    time = next.due;
    next.every ? next.due += next.every : timers.splice(timers.indexOf(next), 1);
    next.then();
  }
  time = end;
};
const shown = async () => {
  await until(() => since !== null || ["rest", "end"].includes(document.body.dataset.view));
  await wait(300);
};
const put = (type, [x, y], more = {}) => {
  const box = frame.getBoundingClientRect();
  const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
  const pen = { bubbles: true, cancelable: true, pointerId: 1, pointerType: "pen" };
  frame.dispatchEvent(new PointerEvent(type, { ...pen, ...place, ...more }));
};
const drag = (points, button = 0) => {
  put("pointerdown", points[0], { button });
  points.forEach(point => put("pointermove", point));
  put("pointerup", points.at(-1), { button });
};
const key = name => dispatchEvent(new KeyboardEvent("keydown", { key: name, code: name === " " ? "Space" : "" }));
const start = async who => {
  $("observer").value = who;
  $("observer").dispatchEvent(new Event("input"));
  out.push($("go").textContent);
  $("go").click();
  await shown();
};
const next = async () => { key(" "); await shown(); };
const lesion = () => lesions[image.name.slice(0, -4)];
const around = (share, turn) => {
  const [x, y, a, b] = lesion();
  return [x + a * share * Math.cos(turn), y + b * share * Math.sin(turn)];
};
const saved = async () => { $("save").click(); return window.blob.text(); };
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a data set of noise with one bright ellipse in each image, and its mask."""
    root, rng = tmp_path / "data set", np.random.default_rng(0)
    y, x = ((np.arange(side) + 0.5) / side for side in SIZE)
    for name, (cx, cy, a, b) in LESIONS.items():
        mask = (((x - cx) / a)[None, :] ** 2 + ((y - cy) / b)[:, None] ** 2) <= 1
        pixels = rng.integers(0, 60, (*SIZE, 3)) + 150 * mask[..., None]
        for kind, values in {"images": pixels, "masks": mask * 255}.items():
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(root / kind / f"{name}.png")
    return root


@pytest.fixture
def drive(browser: list[str]) -> Drive:
    """Open a page and run scripts beside it, each after the page was opened anew; return what they put in `out`."""

    def opened(page: Path, *scripts: str, window: str = "1200,1000") -> list:
        text = page.read_text(encoding="utf-8").replace("<body", f"<script>{BEFORE}</script><body", 1)
        lesions = json.dumps({name: list(values) for name, values in LESIONS.items()}).replace("<", "\\u003c")
        files = [page.with_name(f"opened{n}.html") for n in range(len(scripts))]
        for n, (file, script) in enumerate(zip(files, scripts, strict=True)):
            steps = f"try {{ {script} }} catch (error) {{ errors.push(String(error)); }}"
            end = "console.log(`OUT:${encodeURIComponent(JSON.stringify([...out, errors]))}:`);"
            end += f'location.replace("{files[n + 1].name}");' if file != files[-1] else ""
            body = f"(async () => {{ const lesions = {lesions};\n{DRIVER}\n{steps}\n{end} }})();"
            file.write_text(text.replace("</body>", f"<script>{body}</script></body>"), encoding="utf-8")
        flags = ["--enable-logging=stderr", f"--window-size={window}", f"--user-data-dir={page.parent / 'profile'}"]
        log, found = "", list[list]()
        with subprocess.Popen(
            [*browser, *flags, files[0].as_uri()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            clock = threading.Timer(120, process.kill)
            clock.start()
            while len(found) < len(scripts) and (printed := process.stderr.readline()):
                log += printed
                found += [json.loads(unquote(left)) for left in re.findall(r"OUT:(\S*):", printed)]
            clock.cancel()
            process.terminate()
        assert len(found) == len(scripts), log[-3000:]
        assert [errors for *_, errors in found] == [[]] * len(scripts)
        return [value for *out, _ in found for value in out]

    return opened


def collected(run: Run, root: Path, mode: str, *more: str) -> Path:
    """Write the page of a mode."""
    result = run("collect", *folder(root), f"mode={mode}", f"out={mode}", *more)
    assert result.status == 0 and result.errors == [], result
    return Path(mode, "collect.html").absolute()


def write(file: str, text: str) -> None:
    Path(file).write_text(text, encoding="utf-8")


def dice(root: Path, store: str, threshold: float) -> list[float]:
    """Return Dice of each map with the known lesion."""
    scores = []
    for name in LESIONS:
        mask = np.asarray(Image.open(root / "masks" / f"{name}.png")) > 0
        found = Store(Path(store)).read(name) >= threshold
        scores.append(2 * (mask & found).sum() / (mask.sum() + found.sum()))
    return scores


def prepared(run: Run, root: Path, *line: str) -> Result:
    result = run("prepare", *folder(root), "refine=none", "store=maps", *line)
    assert result.status == 0, result
    return result


LOOK = """
await start("Ann");
out.push($("count").textContent);
put("pointermove", [.5, .5]); await wait(500); await next(); // practice
for (let n = 0; n < images.length; n++) {
  for (let t = 0; t < 80; t++) { put("pointermove", around(.75 * Math.sqrt(t / 80), t * .6)); await wait(40); }
  if (n === 1) { key("p"); await wait(3000); key("p"); await wait(50); }
  await next();
}
out.push(document.body.dataset.view, $("summary").textContent, await saved(), window.file, $("command").textContent);
"""


def test_a_moved_window_becomes_a_map_of_the_lesion(drive: Drive, run: Run, images: Path) -> None:
    pytest.importorskip("pymovements")
    word, count, view, summary, text, file, command = drive(collected(run, images, "reveal"), LOOK)
    assert (word, count, view, file) == ("Start", "practice", "end", "reveal_Ann.csv") and summary.startswith(
        "3 images, 0.2 min"
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["image"] for row in rows} == {f"{name}.png" for name in LESIONS}
    assert {row["observer"] for row in rows} == {"Ann"} and {row["width"] for row in rows} == {"800"}
    write(file, text)
    line = command.splitlines()[0].split(" ", 1)[1]
    assert "detection.dispersion=70" in line and f"'data.root=\"{images}\"'" in line
    keys = ["detection.unit=px", "detection.dispersion=70", "out=fixations.csv"]
    result = run("import_", "format=collect", f"source={file}", *folder(images), *keys)
    assert result.status == 0 and result.errors == [], result
    prepared(run, images, "labels.path=fixations.csv")
    assert min(dice(images, "maps", 0.5)) > 0.6


MARKS = {
    "click": ("points", "const [x, y, a, b] = lesion(); drag([[x, y]]); drag([[.95, .95]], 2);"),
    "box": ("boxes", "const [x, y, a, b] = lesion(); drag([[x + a, y - b], [x, y], [x - a, y + b]]);"),
}
MARK = """
await start("");
await next();
for (let n = 0; n < images.length; n++) {
  STEPS
  drag([[.02, .02], [.2, .2]]); key("u");
  out.push(record.marks.length);
  await next();
}
out.push(await saved(), window.file);
"""


@pytest.mark.parametrize("mode", MARKS)
def test_marks_become_maps_of_the_lesion(mode: str, drive: Drive, run: Run, images: Path) -> None:
    labels, steps = MARKS[mode]
    page = collected(run, images, mode)
    _, *counts, text, file = drive(page, MARK.replace("STEPS", steps))
    assert counts == [2 if mode == "click" else 1] * 3 and file == f"{labels}.csv"
    write(file, text)
    assert {row["observer"] for row in csv.DictReader(io.StringIO(text))} == {""}
    result = prepared(run, images, f"labels={labels}", f"labels.path={file}")
    assert "3 images, 0 unknown image" in result.stdout
    assert min(dice(images, "maps", 0.5)) > 0.6


SCRIBBLE = """
await start("");
await next();
for (let n = 0; n < images.length; n++) {
  drag([around(.6, 0), around(0, 0), around(.6, 3)]);
  key(" "); out.push($("hint").textContent, at);
  drag([[.05, .95], [.5, .95], [.95, .95]], 2);
  await next();
}
out.push(await saved(), window.file);
"""


def test_strokes_become_a_folder_of_scribbles(drive: Drive, run: Run, images: Path) -> None:
    _, *refused, text, file = drive(collected(run, images, "scribble"), SCRIBBLE)
    assert refused[::2] == ["Also draw on the background, or undo."] * 3 and refused[1::2] == [0, 1, 2]
    write(file, text)
    result = run("import_", "format=collect", f"source={file}", *folder(images), "out=scribbles")
    assert result.status == 0 and "scribbles on 3 images in scribbles" in result.stdout, result
    for name, (cx, cy, *_) in LESIONS.items():
        pixels = np.asarray(Image.open(f"scribbles/{name}.png"))
        mask = np.asarray(Image.open(images / "masks" / f"{name}.png")) > 0
        assert pixels.shape == SIZE and set(np.unique(pixels)) == {0, 1, 255}
        assert mask[pixels == 1].all() and not mask[pixels == 0].any()
        assert pixels[int(cy * SIZE[0]), int(cx * SIZE[1])] == 1 and pixels[142, 100] == 0
    prepared(run, images, "labels=scribbles", "labels.path=scribbles")


SHOW = """
Object.defineProperty(document, "fullscreenElement", { get: () => document.documentElement });
Object.defineProperty(window, "devicePixelRatio", { value: 1.5 }); // as where the page is zoomed: not screen.width
Object.defineProperty(window, "screen", { value: { width: 1200, height: 900 } });
document.documentElement.requestFullscreen = async () => {};
await start("");
await next();
for (let n = 0; n < images.length; n++) { await wait(1500); await next(); }
out.push(await saved(), window.file);
"""


def test_a_recording_beside_the_page_needs_no_typed_geometry(drive: Drive, run: Run, images: Path) -> None:
    pytest.importorskip("pymovements")
    _, text, file = drive(collected(run, images, "screen", "size=500"), SHOW)
    write(file, text)
    shown = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["width"]) for row in shown] == [750] * 3 and len({row["image"] for row in shown}) == 3
    assert {(row["screen_width"], row["screen_height"]) for row in shown} == {("1800", "1350")}
    table = ["time,gx,gy"]
    for row in shown:
        cx, cy, *_ = LESIONS[row["image"][:-4]]
        left, top, width, height, onset, end = (
            float(row[key]) for key in ("left", "top", "width", "height", "onset", "end")
        )
        assert 1400 < end - onset < 2000
        for time in np.arange(onset - 80, end + 80, 10):
            table.append(f"{time - 60_000:.1f},{left + cx * width:.1f},{top + cy * height:.1f}")
    write("tracker.csv", "\n".join(table))
    keys = ["format=generic", "source=tracker.csv", "format.columns={image: null, x: gx, y: gy, start: time}"]
    keys += ["format.columns.duration=null", "detection.unit=px", "detection.dispersion=30", f"format.shown={file}"]
    assert "format.shown_offset" in run("import_", *keys, *folder(images), "out=none.csv").error("import")
    result = run("import_", *keys, *folder(images), "format.shown_offset=60000", "out=gaze.csv")
    assert result.status == 0, result
    found = list(csv.DictReader(io.StringIO(Path("gaze.csv").read_text(encoding="utf-8"))))
    assert len(found) == 3
    for row in found:
        cx, cy, *_ = LESIONS[row["IMAGE"][:-4]]
        assert float(row["CURRENT_FIX_X"]) == pytest.approx(cx, abs=0.002)
        assert float(row["CURRENT_FIX_Y"]) == pytest.approx(cy, abs=0.002)
        assert float(row["CURRENT_FIX_DURATION"]) > 1300


OTHER_TAB = """
await start("B"); await next(); drag([[.1, .1], [.4, .4]]);
const tab = document.createElement("iframe"); // its storage is that of another tab
document.body.append(tab);
const other = tab.contentWindow.localStorage;
const theirs = { ...record, marks: [1, 2].map(w => ({ ...record.marks[0], w })) };
other.setItem(slot(2), "{}"); // not open here
other.setItem(slot(0), JSON.stringify({ ...theirs, done: true }));
await until(() => document.body.dataset.view === "rest");
key("u");
out.push($("rest-title").textContent, stored(0).marks.length);
key("p"); await until(() => since !== null);
out.push($("count").textContent, (await saved()).trim().split("\\n").length - 1);
"""


def test_a_second_tab_stops_the_first_which_then_has_its_labels(drive: Drive, run: Run, images: Path) -> None:
    found = drive(collected(run, images, "box"), OTHER_TAB)
    assert found == ["Start", "This name labels in another tab", 2, "2 of 3", 2]


def test_a_closed_tab_goes_on_where_it_was(drive: Drive, run: Run, images: Path) -> None:
    page = collected(run, images, "box", "structure='<img src=x onerror=boom>'")
    mark = 'await start("B"); await next(); drag([[.1, .1], [.4, .4]]); await next(); drag([[.2, .2], [.6, .6]]);'
    hide = "Object.defineProperty(document, 'hidden', { value: true });"
    hide += "document.dispatchEvent(new Event('visibilitychange'));"
    reopen = """
    await start("B");
    out.push($("count").textContent, record.marks.length);
    await next(); await wait(2000); key("u"); await shown(); key("u"); // an image that is opened again is not done
    """
    finish = """
    await start("B");
    out.push($("count").textContent, record.marks.length);
    drag([[.1, .1], [.9, .103]]); out.push(record.marks.length, $("hint").textContent);
    drag([[.2, .2], [.6, .6]]); await next(); await next();
    $("back").click(); await until(() => since !== null); drag([[.3, .2], [.6, .6]]);
    $("undo").dispatchEvent(new KeyboardEvent("keydown", { key: " ", code: "Space", bubbles: true })); // not Next too
    await next();
    out.push(await saved(), document.querySelectorAll("img[src=x]").length);
    """
    started, *first, again, count, none, thin, hint, text, hostile = drive(
        page, f"{mark} await wait(6000); {hide}", reopen + hide, finish
    )
    assert (started, *first) == ("Start", "Continue", "2 of 3", 1)
    assert (again, count, none, thin, hostile) == ("Continue", "2 of 3", 0, 0, 0) and "too thin" in hint
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["x0"], row["y0"]) for row in rows] == [("20", "15"), ("40", "30"), ("60", "30")]
    assert float(rows[1]["seconds"]) >= 6  # also what was seen before the page was closed
    assert float(rows[2]["seconds"]) >= 2  # also before it was left again


PHONE = """
await start("Dr. Zoë [2]");
await next();
const within = ["next", "undo", "class-0", "frame"].map(id => $(id).getBoundingClientRect());
const fits = box => box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
out.push(within.every(fits));
out.push(innerWidth < 600);
put("pointerdown", [.1, .1]); put("pointermove", [.5, .5]); key("p"); await wait(50); key("p"); await wait(50);
out.push(marks.childElementCount, record.marks.length); // what was being drawn is dropped, and not shown
await next(); // too early
key("u"); await shown();
out.push(at); drag([[.25, .25]]);
await next(); drag([[.5, .5]]); await next(); await next();
out.push($("summary").textContent, await saved(), window.file);
"""


def test_a_small_window_has_all_buttons_and_undo_goes_back_to_an_image(drive: Drive, run: Run, images: Path) -> None:
    page = collected(run, images, "click", "structure='left ventricle'")
    _, within, narrow, *counts, summary, text, file = drive(page, PHONE, window="500,700")
    assert within and narrow and counts == [0, 0, 0] and summary.startswith("3 images, 1 of them not labeled, ")
    assert [row.split(",")[1:3] for row in text.splitlines()[1:]] == [["50", "37.5"], ["100", "75"]]
    assert file == "points_Dr-Zoë-2.csv"


def test_an_image_that_was_moved_is_named(drive: Drive, run: Run, images: Path) -> None:
    page = collected(run, images, "click", "embed=false", "practice=false")
    assert "data:image/png" not in page.read_text(encoding="utf-8")
    full = """
    Storage.prototype.setItem = () => { throw new Error("full"); };
    await start(""); drag([[.5, .5]]); await next(); drag([[.25, .5]]);
    out.push(at, $("hint").textContent); await next(); await next(); out.push(await saved());
    """
    _, at, warning, text = drive(page, full)
    assert at == 1 and "press Pause and save" in warning
    assert [row.split(",")[1] for row in text.splitlines()[1:]] == ["100", "50"]
    gone = min((page.parent / "images").iterdir())
    gone.unlink()
    script = 'await until(() => $("go").disabled); out.push($("progress-note").textContent);'
    [note] = drive(page, script)
    assert note.startswith(f"1 of 3 images cannot be opened: images/{gone.name} (")


def test_the_page_names_a_folder_with_the_name_of_another_data_set(run: Run, images: Path) -> None:
    keys = ["data.name=kvasir", "data.exif=apply", "data.range=[0,255]"]
    text = collected(run, images, "click", *keys).read_text(encoding="utf-8")
    assert "data=folder data.name=kvasir " in text and "data=kvasir" not in text
    assert "data.range=[0,255]" in text and "data.exif=apply" in text  # or labels were read on other pixels
