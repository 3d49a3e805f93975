"""Samples a second of the training loader: files decoded anew each time, against a cache in memory and one on disk.

    python benchmarks/loader.py [DATA_ROOT [STORE]] [--size PIXELS] [--batch B] [--workers N] [--out FILE.csv]

The real DataModule with the published flips. Of each form the fourth epoch is counted (the first fills the cache in
memory), and the forms take turns. Without a data root, on generated images of the size of Kvasir-SEG's;
targets are masks, or with a store its maps. core_ms is the processor time of a sample, all processes together.
"""

import argparse
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import albumentations as A
import torch
from _machine import machine

from fovea.data.cache import Files, Memory
from fovea.data.images.kvasir import Kvasir
from fovea.data.images.synthetic import Synthetic
from fovea.data.store import Store
from fovea.engine.datamodule import DataModule

FLIPS = {"horizontal": A.HorizontalFlip(p=0.5), "vertical": A.VerticalFlip(p=0.5)}
FORMS = ("decoded each time", "cache=ram", "cache=disk")


def main() -> None:
    """Print a table, a row for each form, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="counted epochs of each form; the fastest is shown")
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
    """Form, seconds and core-seconds a sample, each the least of the rounds."""
    caches = {
        "decoded each time": None,
        "cache=ram": partial(Memory, limit=16.0),
        "cache=disk": partial(Files, folder=str(folder / "cache"), threads=os.cpu_count() or 1),
    }
    best: dict[str, tuple[float, float]] = {}
    for form in FORMS * arguments.rounds:
        epochs = module(arguments, folder, caches[form])
        seconds, cores = timed_epochs(epochs)
        least = best.get(form, (seconds, cores))
        best[form] = (min(seconds, least[0]), min(cores, least[1]))
    return [(form, *best[form]) for form in FORMS]


def module(arguments: argparse.Namespace, folder: Path, cache: Any) -> DataModule:
    """The data module as `fovea-train` builds it."""
    return DataModule(
        name="loader",
        root=str(arguments.root or folder / "images"),
        dataset=Kvasir if arguments.root else partial(Synthetic, images=200, image_size=576),
        channels=3,
        classes=1,
        size=arguments.size,
        batch_size=arguments.batch,
        num_workers=arguments.workers,
        drop_last=False,
        fraction=1.0,
        protocol="clean",
        select_on="mask",
        select_threshold=0.5,
        normalize=A.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        augment=FLIPS,
        seed=0,
        needs=["mask"] if arguments.store is None else ["pseudo"],
        store=None if arguments.store is None else str(arguments.store),
        parameters={} if arguments.store is None else dict(Store(arguments.store).manifest["parameters"]),
        cache=cache,
    )


def timed_epochs(data: DataModule) -> tuple[float, float]:
    """Seconds and core-seconds a sample of a fourth epoch, its workers' start not counted."""
    loader = data.train_dataloader()
    for _ in range(3):  # until each worker has seen most samples
        for _ in loader:
            pass
    started, worked = time.perf_counter(), cores()
    count = sum(len(data.on_after_batch_transfer(batch, 0)["image"]) for batch in loader)
    return (time.perf_counter() - started) / count, (cores() - worked) / count


def cores() -> float:
    """Processor time of this process and of its living workers, in seconds (Linux; elsewhere of this process)."""
    return sum(times(Path("/proc") / str(process) / "stat") for process in processes()) or time.process_time()


def processes() -> Iterator[int]:
    """This process and its children."""
    own = os.getpid()
    yield own
    for task in Path("/proc/self/task").glob("*/children"):
        yield from map(int, task.read_text().split())


def times(stat: Path) -> float:
    """User and system time of a process in seconds."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
