"""`make demo`: run every command once on generated images, then print a table and the place of the pictures.

It runs the real commands, each in a process of its own, and reads what they write.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

FOLDER = Path("logs/demo")
IMAGES = FOLDER / "images"
DATA = ["data=synthetic", f"data.root={IMAGES}"]


def main() -> None:
    """Run the demo; exit with the status of the first command that fails."""
    started = time.perf_counter()
    FOLDER.mkdir(parents=True, exist_ok=True)
    gaze = [f"labels.path={FOLDER / 'fixations.csv'}", f"store={FOLDER / 'store'}"]
    run("simulate", *DATA, f"out={FOLDER / 'fixations.csv'}")
    run("prepare", *DATA, *gaze, "quality=masks", "workers=2")
    light = ["experiment=laptop_synthetic", "sheet_rows=0"]
    stamp = run("train", "-m", *light, "supervision=full,gaze", *DATA[1:], *gaze)
    jobs = sorted(path.parent for path in (Path("logs/train") / stamp).glob("*/config.yaml"))
    best = jobs[-1] / "checkpoints" / "best.ckpt"
    run("evaluate", f"checkpoint={best}", *DATA, *gaze, "split=test", "data.num_workers=0", f"out={FOLDER / 'test'}")
    run("predict", f"checkpoint={best}", f"input={IMAGES / 'images'}", f"out={FOLDER / 'predicted'}")
    print_table(jobs)
    print(f"quality of the gaze  {FOLDER / 'store' / 'quality.html'}")
    print(f"masks and overlays   {FOLDER / 'predicted'}")
    print(f"contact sheet        {FOLDER / 'test' / 'contact_sheet.png'}")
    print(f"{time.perf_counter() - started:.0f} s in all")


def run(name: str, *arguments: str) -> str:
    """Run one command in a process of its own and return the id of its run folder."""
    stamp = f"demo_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    print(f"\n$ fovea-{name} {' '.join(arguments)}", flush=True)
    environment = os.environ | {"FOVEA_RUN_ID": stamp}
    done = subprocess.run([sys.executable, "-m", f"fovea.cli.{name}", *arguments], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return stamp


def print_table(jobs: list[Path]) -> None:
    """One line a run: supervision, Dice and IoU on val, seconds of training."""
    print(f"\n{'supervision':<14}{'Dice':>8}{'IoU':>8}{'seconds':>10}   (val images, against their masks)")
    for job in jobs:
        supervision = OmegaConf.load(job / "config.yaml").supervision._target_.rpartition(".")[2]
        summary = json.loads((job / "evaluate" / "val" / "summary.json").read_text())
        seconds = json.loads((job / "training.json").read_text())["seconds"]
        print(f"{supervision.lower():<14}{summary['dice']['mean']:>8.3f}{summary['iou']['mean']:>8.3f}{seconds:>10.0f}")
    print()


if __name__ == "__main__":
    main()
