"""`make demo-multimodal`: what unlabeled cases add to three labeled slices of one case, on two generated modalities.

It runs the real commands, each in a process of its own, and reads what they write.
"""

import json
import time
from pathlib import Path

from demo import run

FOLDER = Path("logs/demo_multimodal")
CASES = FOLDER / "cases"
TRAINING = ["experiment=laptop_synthetic_slices", f"data.root={CASES}", "sheet_rows=4", "evaluate=[val,test]"]
MODES = {
    "labeled_only": ["supervision=labeled_only"],
    "unimatch": [
        "supervision=unimatch",
        "supervision.decay=0.95",  # an average over the last 20 of 200 steps
        "supervision.start=0.2",
        "supervision.confidence=0.8",  # networks of few steps are not sure
    ],
}


def main() -> None:
    """Run the demo; exit with the status of the first command that fails."""
    started = time.perf_counter()
    runs = FOLDER / f"runs_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    for mode, options in MODES.items():
        run("train", *TRAINING, *options, f"hydra.run.dir={runs / mode}")
    best = runs / "unimatch" / "checkpoints" / "best.ckpt"
    run("predict", f"checkpoint={best}", f"input={CASES / 'images'}", f"out={FOLDER / 'predicted'}")
    run("report", f"runs={runs}", "split=test", f"out={FOLDER / 'report'}")
    print_table(runs)
    for mode in MODES:
        print(f"{f'pictures of {mode}':<24} {runs / mode / 'evaluate' / 'test' / 'contact_sheet.png'}")
    print(f"label maps and overlays  {FOLDER / 'predicted'}")
    print(f"report                   {FOLDER / 'report' / 'report.html'}")
    print(f"{time.perf_counter() - started:.0f} s in all")


def print_table(runs: Path) -> None:
    """One line a run: supervision, Dice of each modality and structure on test, seconds of training."""
    summaries = {mode: json.loads((runs / mode / "evaluate" / "test" / "summary.json").read_text()) for mode in MODES}
    parts = [(group, name) for group in ("groups", "classes") for name in summaries["unimatch"][group]]
    head = "".join(f"{name:>10}" for _, name in parts)
    print(f"\n{'supervision':<14}{'all':>8}{head}{'seconds':>10}   (Dice of test volumes)")
    for mode, summary in summaries.items():
        seconds = json.loads((runs / mode / "training.json").read_text())["seconds"]
        scores = "".join(f"{summary[group][name]['dice']['mean']:>10.3f}" for group, name in parts)
        print(f"{mode:<14}{summary['dice']['mean']:>8.3f}{scores}{seconds:>10.0f}")
    print()


if __name__ == "__main__":
    main()
