"""`make docs-figures`: run the docs' commands on generated data, and put pictures of what they write into the docs.

python examples/docs_figures.py [gallery] [pages] [gaze_to_model] …
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import page_pictures
from demo import run
from PIL import Image, ImageOps

from fovea.pictures.contact_sheet import SheetRow, contact_sheet
from fovea.pictures.panels import map_panel

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "logs" / "docs_figures"
PICTURES = ROOT / "docs" / "images"
GALLERY = FOLDER / "gallery"
IMAGES = GALLERY / "images"
DATA = [f"data.root={IMAGES}", "data.dataset.images=80"]
OBSERVERS = {"gaze": "eyelink", "boxes": "box"}  # who simulates each kind of label
QUICK = ["trainer.max_steps=120", "trainer.val_check_interval=40", "evaluate=[val,test]", "sheet_rows=0"]
PATHS = {"gaze": IMAGES / "fixations.csv", "boxes": GALLERY / "boxes.csv"}
# What the commands of each tutorial write; pages are drawn at this height.
TUTORIALS: dict[str, tuple[Sequence[str], int]] = {
    "gaze_to_model": (["logs/gaze/evaluate/test/contact_sheet.png"], 0),
    "own_tracker": (["data/stores/recorded/quality.html"], 1080),
    "boxes_and_clicks": ([f"logs/cheap/{job}/evaluate/test/contact_sheet.png" for job in (0, 1)], 0),
    "two_modalities": (["logs/pairs/evaluate/test/contact_sheet.png"], 0),
    "sweep_to_table": (["logs/sweep_report/report.html"], 1190),
}


def main(parts: Sequence[str]) -> None:
    """Make all pictures, or those of some parts; exit with the status of the first command that fails."""
    started = time.perf_counter()
    every = {"gallery": gallery, "pages": pages} | {name: partial(tutorial, name) for name in TUTORIALS}
    for part in parts or every:
        every[part]()
    print(f"{PICTURES}: made in {time.perf_counter() - started:.0f} s")


def gallery() -> None:
    """Make the pictures of docs/gallery.md."""
    shutil.rmtree(GALLERY, ignore_errors=True)
    GALLERY.mkdir(parents=True)
    sweep = ["experiment=laptop_synthetic", "sweep=labels_budget", "data.fraction=0.15,0.4,1.0", *DATA, *QUICK]
    store = f"store={GALLERY / 'stores'}/${{labels.name}}"
    for kind, observer in OBSERVERS.items():
        run("simulate", "data=synthetic", *DATA, f"observer={observer}", f"out={PATHS[kind]}")
        run("prepare", "data=synthetic", *DATA, f"labels={kind}", f"labels.path={PATHS[kind]}", store, "workers=2")
    cheap = [f"labels={','.join(OBSERVERS)}", "supervision=pseudo", store]
    run("train", *sweep, *cheap, f"hydra.sweep.dir={GALLERY / 'train' / 'cheap'}")
    run("train", *sweep, "labels=gaze", "supervision=full", f"hydra.sweep.dir={GALLERY / 'train' / 'masks'}")
    best = GALLERY / "train" / "cheap" / "2" / "checkpoints" / "best.ckpt"
    run("evaluate", f"checkpoint={best}", "split=test", "sheet_rows=3", f"out={GALLERY / 'test'}")
    run("predict", f"checkpoint={best}", f"input={IMAGES / 'images'}", f"out={GALLERY / 'predicted'}")
    run("report", f"runs={GALLERY / 'train'}", "split=test", "resamples=2000", f"out={GALLERY / 'report'}")
    names = sorted(path.stem for path in (IMAGES / "images").iterdir())[:3]
    rows = []
    for name in names:
        panels = {"image": np.array(Image.open(next((IMAGES / "images").glob(f"{name}.*"))).convert("RGB"))}
        for kind in OBSERVERS:
            panels[kind] = map_panel(np.array(Image.open(GALLERY / "stores" / kind / "maps" / f"{name}.png")) / 65535)
        rows.append(SheetRow(name, panels))
    save("gallery/prepare", Image.fromarray(contact_sheet(rows)))
    save("gallery/evaluate", Image.open(GALLERY / "test" / "contact_sheet.png"))
    save("gallery/predict", beside([GALLERY / "predicted" / "overlays" / f"{name}.png" for name in names]))
    for chart in ("budget", "val_dice"):
        shutil.copy(GALLERY / "report" / "charts" / f"{chart}.svg", PICTURES / "gallery")


def tutorial(name: str) -> None:
    """Run the command lines of a tutorial in a folder of its own, and draw the figure at its end."""
    work = FOLDER / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "examples").symlink_to(ROOT / "examples")
    os.chdir(work)
    for command, *words in command_lines(ROOT / "docs" / "tutorials" / f"{name}.md"):
        if command == "python":
            subprocess.run([sys.executable, *words], check=True)
        else:
            run(command.removeprefix("fovea-").replace("import", "import_"), *words)
    draw(name)


def draw(name: str) -> None:
    """Draw the figure of a tutorial from what its commands wrote."""
    os.chdir(FOLDER / name)
    written, height = TUTORIALS[name]
    shots = [page_pictures.shot(Path(path), 1200, height) if height else Image.open(path) for path in written]
    save(f"tutorials/{name}", below(shots))
    if name == "two_modalities":
        overlays = sorted(Path("logs/pairs_predicted/overlays").glob("testing_*.png"))[:4]
        save("gallery/volumes", beside(overlays, zoom=2))
    os.chdir(ROOT)


def pages() -> None:
    """Draw the page of `fovea-collect` in each mode."""
    page_pictures.main(PICTURES / "collect.png")


def command_lines(page: Path) -> list[list[str]]:
    """Return the words of each indented command line of a page, with continued lines joined."""
    lines = page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(("    fovea-", "    python "))]


def beside(paths: Sequence[Path], zoom: int = 1) -> Image.Image:
    """Return pictures side by side, each so many times as large."""
    pictures = [ImageOps.scale(Image.open(path).convert("RGB"), zoom) for path in paths]
    panels = {path.stem: np.array(each) for path, each in zip(paths, pictures, strict=True)}
    return Image.fromarray(contact_sheet([SheetRow("", panels)], tile=None))


def below(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures one below the other."""
    whole = Image.new("RGB", (max(each.width for each in pictures), sum(each.height for each in pictures)), "white")
    for place, each in enumerate(pictures):
        whole.paste(each, (0, sum(above.height for above in pictures[:place])))
    return whole


def save(name: str, picture: Image.Image) -> None:
    """Write a picture with 256 colors, which halves its file."""
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
