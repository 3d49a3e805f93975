"""Pictures of pages in headless Chromium; alone, of each mode of `fovea-collect` on a generated image.

python examples/page_pictures.py docs/images/collect.png
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fovea.cli.collect import OPTIONS
from fovea.collect.page import write_page
from fovea.data.images.synthetic import Synthetic
from fovea.runtime.config import config_folder

SIZE = (1100, 800)
# An image with one lesion: its center and half axes in fractions of the sides.
SCRIPT = """
const [cx, cy, a, b] = PLACE;
const put = (type, [x, y], button = 0) => {
  const box = frame.getBoundingClientRect();
  const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
  frame.dispatchEvent(new PointerEvent(type, { bubbles: true, pointerId: 1, pointerType: "mouse", button, ...place }));
};
const drag = (points, button) => {
  put("pointerdown", points[0], button);
  points.forEach(point => put("pointermove", point));
  put("pointerup", points.at(-1), button);
};
const wave = (from, to, y) =>
  Array.from({ length: 40 }, (_, i) => [from + (to - from) * i / 39, y + .012 * Math.sin(i / 3)]);
const steps = {
  reveal: () => put("pointermove", [cx, cy]),
  click: () => { drag([[cx, cy]]); drag([[cx - a / 2, cy - b / 3]]); drag([[.3, .15]], 2); },
  box: () => drag([[cx - a, cy - b], [cx + a, cy + b]]),
  scribble: () => { drag(wave(cx - a / 2, cx + a / 2, cy)); drag(wave(.3, .8, .1), 2); },
};
$("go").click();
setTimeout(() => steps[mode](), 500);
"""


# On the page of a report: paths and the state of the code, which are those of this machine, and what needs a mouse.
HIDDEN = "header p, .warnings, .screen-only, .scroll:has(#settings), h2:has(+ label + .scroll #settings)"


def shot(page: Path, width: int, height: int) -> Image.Image:
    """Return what a window of this size shows of a page that is one file, three seconds after its start."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("Chromium is needed to draw pages: install the package chromium of your system")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000"]
    with tempfile.TemporaryDirectory() as folder:
        flags += [f"--window-size={width},{height}", f"--user-data-dir={folder}", f"--screenshot={folder}/shot.png"]
        copy = Path(folder, "page.html")
        text = page.read_text(encoding="utf-8")
        copy.write_text(
            text.replace("</head>", f"<style>{HIDDEN} {{ display: none }}</style></head>"), encoding="utf-8"
        )
        subprocess.run([browser, *flags, copy.as_uri()], check=True, capture_output=True)
        with Image.open(Path(folder, "shot.png")) as picture:
            return picture.convert("RGB")


def main(path: Path) -> None:
    """Write the picture."""
    import yaml

    options = yaml.safe_load((config_folder() / "collect.yaml").read_text(encoding="utf-8"))
    options = {key: options.get(key, 0) for key in OPTIONS} | {"practice": False, "structure": "polyp", "count": 1}
    sheet = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]))
    with tempfile.TemporaryDirectory() as folder:
        data = Synthetic(Path(folder, "data"), images=1, image_size=480, seed=4)
        rows, columns = np.nonzero(data.mask("image_0000"))
        low, high = (np.array([each(columns), each(rows)]) / data.size("image_0000")[::-1] for each in (np.min, np.max))
        place = str([*((low + high) / 2).tolist(), *((high - low) / 2).tolist()])
        for number, mode in enumerate(("reveal", "click", "box", "scribble")):
            page = Path(folder, mode, "collect.html")
            write_page(data, page.parent, [], **{**options, "mode": mode})
            text = page.read_text(encoding="utf-8")
            script = SCRIPT.replace("PLACE", place)
            page.write_text(text.replace("</body>", f"<script>{{ {script} }}</script></body>"), encoding="utf-8")
            sheet.paste(shot(page, *SIZE), (number % 2 * SIZE[0], number // 2 * SIZE[1]))
    small = sheet.resize((1200, 1200 * SIZE[1] // SIZE[0]), Image.Resampling.LANCZOS)
    small.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
