"""`make demo-multimodal`: train in three ways on two generated modalities, with two labeled and six unlabeled cases.

It runs the real commands, each in a process of its own, and reads what they write.
"""

import json
import time
from pathlib import Path

from demo import run

FOLDER = Path("logs/demo_multimodal")
TRAINING = ["experiment=laptop_paired_synthetic", f"data.root={FOLDER / 'volumes'}", "sheet_rows=4"]
MODES = ["labeled_only", "mean_teacher", "cmc"]


def main() -> None:
    """Run the demo; exit with the status of the first command that fails."""
    started = time.perf_counter()
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp = run("train", "-m", f"supervision={','.join(MODES)}", *TRAINING, "evaluate=[val,test]")
    jobs = sorted(path.parent for path in (Path("logs/train") / stamp).glob("*/config.yaml"))
    best = jobs[-1] / "checkpoints" / "best.ckpt"
    run("predict", f"checkpoint={best}", f"input={FOLDER / 'volumes' / 'images'}", f"out={FOLDER / 'predicted'}")
    run("report", f"runs={jobs[0].parent}", "split=test", f"out={FOLDER / 'report'}")
    print_table(jobs)
    print(f"label maps and overlays  {FOLDER / 'predicted'}")
    print(f"report                   {FOLDER / 'report' / 'report.html'}")
    print(f"{time.perf_counter() - started:.0f} s in all")


def print_table(jobs: list[Path]) -> None:
    """One line a run: supervision, Dice of each modality on test, seconds of training."""
    summaries = [json.loads((job / "evaluate" / "test" / "summary.json").read_text()) for job in jobs]
    names = list(summaries[0]["groups"])
    print(f"\n{'supervision':<14}{''.join(f'{name:>9}' for name in names)}{'seconds':>10}   (Dice of test volumes)")
    for mode, job, summary in zip(MODES, jobs, summaries, strict=True):
        seconds = json.loads((job / "training.json").read_text())["seconds"]
        scores = "".join(f"{summary['groups'][name]['dice']['mean']:>9.3f}" for name in names)
        print(f"{mode:<14}{scores}{seconds:>10.0f}")
    print()


if __name__ == "__main__":
    main()
