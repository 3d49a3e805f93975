"""Count samples per second of the training loader without a cache, with one in memory and with one on disk.

    python benchmarks/loader.py [DATA_ROOT [STORE]] [--size PIXELS] [--batch B] [--workers N] [--out FILE.csv]

Uses the DataModule of a training with the published flips. The fourth epoch of each form is timed, since the first
fills the cache in memory; the forms take turns. Uses generated images of the size of Kvasir-SEG's without a data root.
Targets are masks, or the maps of a store made with the default labels and refinement. core_ms is the processor time per
sample of all processes.
"""

import argparse
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from _machine import composed, machine, start

from fovea.engine.datamodule import DataModule
from fovea.runtime.config import instantiate

FORMS = ("cache=none", "cache=ram", "cache=disk")


def main() -> None:
    """Print a row for each form, and write the table to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="timed epochs of each form; the fastest is shown")
    parser.add_argument("--out", type=Path, help="CSV for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    try:
        timed = measure(arguments, folder)
    finally:
        shutil.rmtree(folder)
    _, plain, work = timed[0]
    rows = [
        {
            "machine": machine(),
            "targets": "mask" if arguments.store is None else "pseudo",
            "size": str(arguments.size),
            "batch": str(arguments.batch),
            "workers": str(arguments.workers),
            "form": form,
            "samples_per_second": f"{1 / seconds:.0f}",
            "times_faster": f"{plain / seconds:.2f}",
            "core_ms": f"{1e3 * cores:.3f}",
            "times_less_work": f"{work / cores:.2f}",
        }
        for form, seconds, cores in timed
    ]
    print(", ".join(rows[0]))
    for row in rows:
        print(", ".join(row.values()))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def measure(arguments: argparse.Namespace, folder: Path) -> list[tuple[str, float, float]]:
    """Return form, minimum seconds and minimum core-seconds per sample."""
    best: dict[str, tuple[float, float]] = {}
    for form in FORMS * arguments.rounds:
        seconds, cores = timed_epochs(module(arguments, folder, form))
        least = best.get(form, (seconds, cores))
        best[form] = (min(seconds, least[0]), min(cores, least[1]))
    return [(form, *best[form]) for form in FORMS]


def module(arguments: argparse.Namespace, folder: Path, cache: str) -> DataModule:
    """Build the DataModule as `fovea-train` does."""
    size = [f"data.size={arguments.size}", "augmentation=flips", cache]
    if arguments.root:
        data = ["data=kvasir", f"data.root={arguments.root}"]
    else:
        images = ["data.dataset.images=200", "data.dataset.image_size=576"]
        data = ["data=synthetic", f"data.root={folder / 'images'}", *images]
    if arguments.store:
        data.append(f"store={arguments.store}")
    if cache == "cache=disk":
        data.append(f"data.cache.folder={folder / 'cache'}")
    source = instantiate(composed("train", *data, *size)["data"])
    training = source.train(["pseudo" if arguments.store else "mask"])
    return DataModule(training, arguments.batch, arguments.workers, drop_last=False, seed=0)


def timed_epochs(data: DataModule) -> tuple[float, float]:
    """Return seconds and core-seconds per sample of the fourth epoch, without the start of the workers."""
    loader = data.train_dataloader()
    for _ in range(3):  # until each worker has seen most samples
        for _ in loader:
            pass
    started, worked = time.perf_counter(), cores()
    count = sum(len(data.on_after_batch_transfer(batch, 0)["image"]) for batch in loader)
    return (time.perf_counter() - started) / count, (cores() - worked) / count


def cores() -> float:
    """Return the processor time of this process, and on Linux of its workers, in seconds."""
    return sum(times(Path("/proc") / str(process) / "stat") for process in processes()) or time.process_time()


def processes() -> Iterator[int]:
    """Yield this process and its children."""
    own = os.getpid()
    yield own
    for task in Path("/proc/self/task").glob("*/children"):
        yield from map(int, task.read_text().split())


def times(stat: Path) -> float:
    """Return the user and system time of a process in seconds."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    start(main)
