"""Volumes of two modalities through the real commands: trained, evaluated, predicted, reported, refused."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from .conftest import Run, finished, process

STEPS = 3
SMALL = [
    "data=paired_synthetic",
    "data.dataset.shape=[32,32,8]",
    "data.dataset.voxel=[4.0,4.0,12.0]",
    "data.dataset.unlabeled=3",
    "data.dataset.testing=1",
    "data.size=[16,16,8]",
    "data.spacing=[4.0,4.0,12.0]",
    "data.num_workers=0",
]
TINY = [
    *["backbone=cross_modality", "loss=dice_ce", "augmentation=volumes", "scheduler=constant"],
    *["backbone.unet.features=[4,8]", "backbone.unet.norm=[group,{num_groups: 2}]", "backbone.groups=4"],
    *[
        f"trainer.max_steps={STEPS}",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "callbacks.progress=null",
    ],
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the volumes are drawn by whoever comes first."""
    return tmp_path_factory.mktemp("volumes") / "set"


@pytest.fixture
def line(root: Path) -> list[str]:
    return [*SMALL, *TINY, f"data.root={root}"]


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of CMC, evaluated on val and test."""
    folder = tmp_path_factory.mktemp("trained")
    cmc = ["supervision=cmc", "supervision.start=0.0", "evaluate=[val,test]", "hydra.run.dir=run"]
    done = finished(process("train", *SMALL, *TINY, f"data.root={root}", *cmc, cwd=folder))
    assert done.status == 0, done
    return folder / "run"


def scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_image.csv").open() as file:
        return list(csv.DictReader(file))


def same_weights(*runs: Path) -> bool:
    first, second = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in runs)
    assert first["global_step"] == second["global_step"] == STEPS
    return all(torch.equal(first["state_dict"][name], value) for name, value in second["state_dict"].items())


def test_a_training_scores_each_modality_and_class(trained: Path) -> None:
    said = (trained / "train.log").read_text()
    assert "trains on 2 labeled and 3 unlabeled cases of bright, dark; 2 val cases" in said
    with (trained / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert len(rows) == STEPS and all(float(row["train/channel"]) > 0 for row in rows)
    table = scores(trained / "evaluate" / "val")
    summary = json.loads((trained / "evaluate" / "val" / "summary.json").read_text())
    assert len(table) == summary["n"] == 4 and {row["id"].rpartition("_")[2] for row in table} == {"bright", "dark"}
    assert set(summary["classes"]) == {"crescent", "ring", "ball"} and set(summary["groups"]) == {"bright", "dark"}
    means = [summary["groups"][name]["classes"]["ring"]["dice"]["mean"] for name in ("bright", "dark")]
    assert summary["classes"]["ring"]["dice"]["mean"] == pytest.approx(np.mean(means))
    assert summary["classes"]["ring"]["dice"]["mean"] == pytest.approx(
        np.mean([float(row["ring_dice"]) for row in table]), abs=1e-6
    )
    assert summary["hd95"]["unit"] == "mm" and (trained / "evaluate" / "test" / "contact_sheet.png").is_file()


def test_an_evaluation_repeats_that_of_the_training_and_bears_a_shift(
    trained: Path, root: Path, run: Run, tmp_path: Path
) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    data = [*SMALL[:5], f"data.root={root}", "data.num_workers=0"]
    again = ["split=test", "data.misalignment.shift=0,24", "hydra.sweep.dir=moved"]
    assert run("evaluate", "-m", checkpoint, *data, *again).status == 0
    same, moved = (scores(tmp_path / "moved" / job / "evaluate" / "test") for job in "01")
    assert same == scores(trained / "evaluate" / "test")
    of = {row["id"].rpartition("_")[2]: row for row in moved}
    assert of["dark"]["size"] != {row["id"].rpartition("_")[2]: row for row in same}["dark"]["size"]
    assert run("report", "runs=moved", "split=test", "out=report", "resamples=100").status == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "dice against data.misalignment.shift" in page or "data.misalignment.shift" in page


def test_a_killed_run_goes_on_to_the_same_weights(
    trained: Path, line: list[str], run: Run, kill: list[int], tmp_path: Path
) -> None:
    cmc = ["supervision=cmc", "supervision.start=0.0", "hydra.run.dir=run", "evaluate=[]", "ckpt_path=auto"]
    for step in (1, 2):  # in the middle of an epoch of the longer stream, and at its end
        kill[:] = [step]
        assert "Killed" in run("train", *line, *cmc, "callbacks.last.every_n_train_steps=1").stderr
    kill.clear()
    assert run("train", *line, *cmc).status == 0
    assert same_weights(trained, tmp_path / "run")


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_caches_and_workers_change_nothing(
    cache: str, trained: Path, line: list[str], run: Run, tmp_path: Path
) -> None:
    cmc = ["supervision=cmc", "supervision.start=0.0", "hydra.run.dir=run", "evaluate=[]", f"cache={cache}"]
    folder = [f"data.cache.folder={tmp_path / 'cache'}"] if cache == "disk" else []
    assert run("train", *line, *cmc, *folder, "data.num_workers=1").status == 0
    assert same_weights(trained, tmp_path / "run")


def test_volumes_are_predicted_on_their_own_grid(trained: Path, root: Path, run: Run, tmp_path: Path) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    given = sorted((root / "images").glob("*.nii.gz"))[:4]
    (tmp_path / "in").mkdir()
    for path in given[:3]:  # the second case without its second modality
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in" / "broken_dark.nii.gz").write_bytes(given[0].read_bytes()[:100])
    refusal = run("predict", checkpoint, "input=in", "out=out").refusal("predict")
    assert "1 of 4 images failed, the others are in out" in refusal and "broken_dark.nii.gz" in refusal
    for path in given[:3]:
        image, mask = nib.load(path), nib.load(tmp_path / "out" / "masks" / path.name)
        assert mask.shape == image.shape and np.array_equal(mask.affine, image.affine)
        assert set(np.unique(mask.dataobj)) <= {0, 1, 2, 3}
        assert (tmp_path / "out" / "overlays" / path.name.replace(".nii.gz", ".png")).is_file()


def test_two_processes_take_their_shares(line: list[str], tmp_path: Path) -> None:
    two = ["supervision=labeled_only", "compute=ddp", "trainer.devices=2", "data.batch_size=1", "hydra.run.dir=two"]
    done = finished(process("train", *line, *two, cwd=tmp_path))
    assert done.status == 0, done
    assert len(scores(tmp_path / "two" / "evaluate" / "val")) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["supervision=gaze"], "trains on pseudo, which volumes do not serve"),
        (["augmentation=flips"], "data.augment.horizontal_flip is for images; choose augmentation=volumes"),
        (["data.modalities=[bright]"], "backbone.modalities=['bright']: give 2 or more"),
        (["data.modalities=[bright,t2]"], "data.intensity: nothing for t2"),
        (["data.size=[15,15,8]"], "does not suit this backbone; give three multiples of 2"),
        (["data.size=[16,32,8]", "data.crops=9"], "a crop of (16, 32, 8) became one of (32, 16, 8)"),
        (["data.size=16"], "data.size=16: give three whole numbers"),
        (["data.labeled_fraction=0.1"], "leaves no labelled one"),
        (["data.classes=3"], "names 4 labels; set data.classes=4"),
        (["data.misalignment.modality=ct"], "data.misalignment.modality=ct: there is bright, dark"),
        (["data.crops=0"], "data.crops=0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    change: list[str], message: str, line: list[str], run: Run, tmp_path: Path
) -> None:
    assert message in run("train", *line, "supervision=cmc", *change, "hydra.run.dir=run").refusal("train")
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize("command", ["prepare", "simulate"])
def test_gaze_is_of_images(command: str, run: Run, root: Path) -> None:
    given = ["out=f.csv"] if command == "simulate" else []
    assert "data=paired_synthetic has no images to look at" in run(
        command, "data=paired_synthetic", f"data.root={root}", *given
    ).refusal(command)


def test_a_network_of_volumes_is_not_evaluated_on_images(trained: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    refusal = run("evaluate", checkpoint, "data=synthetic", "data.root=drawn", "data.dataset.images=9").refusal(
        "evaluate"
    )
    assert "data=synthetic is of another kind than" in refusal
