"""`make docs-figures`: run the commands on generated images, and put pictures of what they write into the docs."""

import shutil
import time
from pathlib import Path

import numpy as np
from demo import LIGHT, run
from PIL import Image

from fovea.pictures.contact_sheet import SheetRow, contact_sheet
from fovea.pictures.panels import map_panel

FOLDER = Path("logs/docs_figures")
PICTURES = Path("docs/images/gallery")
IMAGES = FOLDER / "images"
DATA = ["data=synthetic", f"data.root={IMAGES}", "data.dataset.images=80"]
OBSERVERS = {"gaze": "eyelink", "boxes": "box"}  # who simulates each kind of label
QUICK = ["trainer.max_steps=120", "trainer.val_check_interval=40", "evaluate=[val,test]"]
PATHS = {"gaze": IMAGES / "fixations.csv", "boxes": FOLDER / "boxes.csv"}


def main() -> None:
    """Make all pictures; exit with the status of the first command that fails."""
    started = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    sweep = ["sweep=labels_budget", "data.fraction=0.15,0.4,1.0", *DATA, *LIGHT, *QUICK]
    store = f"store={FOLDER / 'stores'}/${{labels.name}}"
    for kind, observer in OBSERVERS.items():
        run("simulate", *DATA, f"observer={observer}", f"out={PATHS[kind]}")
        run("prepare", *DATA, f"labels={kind}", f"labels.path={PATHS[kind]}", store, "workers=2")
    run(
        "train",
        *sweep,
        f"labels={','.join(OBSERVERS)}",
        "supervision=pseudo",
        store,
        f"hydra.sweep.dir={FOLDER / 'train' / 'cheap'}",
    )
    run("train", *sweep, "labels=gaze", "supervision=full", f"hydra.sweep.dir={FOLDER / 'train' / 'masks'}")
    best = FOLDER / "train" / "cheap" / "2" / "checkpoints" / "best.ckpt"
    run("evaluate", f"checkpoint={best}", "split=test", "sheet_rows=3", f"out={FOLDER / 'test'}")
    run("predict", f"checkpoint={best}", f"input={IMAGES / 'images'}", f"out={FOLDER / 'predicted'}")
    run("report", f"runs={FOLDER / 'train'}", "split=test", "resamples=2000", f"out={FOLDER / 'report'}")
    draw()
    print(f"{PICTURES}: made in {time.perf_counter() - started:.0f} s")


def draw() -> None:
    """Turn what the commands wrote into pictures."""
    names = sorted(path.stem for path in (IMAGES / "images").iterdir())[:3]
    rows = []
    for name in names:
        panels = {"image": np.array(Image.open(next((IMAGES / "images").glob(f"{name}.*"))).convert("RGB"))}
        for kind in OBSERVERS:
            panels[kind] = map_panel(np.array(Image.open(FOLDER / "stores" / kind / "maps" / f"{name}.png")) / 65535)
        rows.append(SheetRow(name, panels))
    save("prepare", Image.fromarray(contact_sheet(rows)))
    save("evaluate", Image.open(FOLDER / "test" / "contact_sheet.png"))
    overlays = [Image.open(FOLDER / "predicted" / "overlays" / f"{name}.png") for name in names]
    row = {name: np.array(picture.convert("RGB")) for name, picture in zip(names, overlays, strict=True)}
    save("predict", Image.fromarray(contact_sheet([SheetRow("", row)], tile=None)))
    for chart in ("budget", "val_dice"):
        shutil.copy(FOLDER / "report" / "charts" / f"{chart}.svg", PICTURES)


def save(name: str, picture: Image.Image) -> None:
    """Write a picture with 256 colors, which halves its file."""
    picture.convert("RGB").quantize(256).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
