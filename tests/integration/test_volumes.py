"""Volumes of two modalities through the real commands: trained, evaluated, predicted, reported, refused."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fovea.data.volumes.synthetic import draw

from .commands import Run, invoke, last, same_weights

pytestmark = pytest.mark.slow

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
    *[f"trainer.max_steps={STEPS}", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"],
    "callbacks.progress=null",
]
CMC = ["supervision=cmc", "supervision.start=0.0"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the first command draws the volumes."""
    return tmp_path_factory.mktemp("volumes") / "set"


@pytest.fixture(scope="module")
def line(root: Path) -> list[str]:
    return [*SMALL, *TINY, f"data.root={root}"]


@pytest.fixture(scope="module")
def trained(line: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train CMC, and evaluate val and test. Read-only."""
    run = tmp_path_factory.mktemp("trained") / "run"
    result = invoke("train", *line, *CMC, "evaluate=[val,test]", f"hydra.run.dir={run}")
    assert result.status == 0, result
    return run


def scores(evaluation: Path) -> list[dict[str, str]]:
    with (evaluation / "per_image.csv").open() as file:
        return list(csv.DictReader(file))


def test_training_scores_each_modality_and_class(trained: Path) -> None:
    log = (trained / "train.log").read_text()
    assert "2 label" in log and "3 unlabel" in log and "2 val cases" in log
    with (trained / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert len(rows) == STEPS and all(float(row["train/channel"]) > 0 for row in rows)
    table = scores(trained / "evaluate" / "val")
    summary = json.loads((trained / "evaluate" / "val" / "summary.json").read_text())
    assert len(table) == summary["n"] == 4 and {row["id"].rpartition("_")[2] for row in table} == {"bright", "dark"}
    assert set(summary["classes"]) == {"crescent", "ring", "ball"} and set(summary["groups"]) == {"bright", "dark"}
    mean = summary["classes"]["ring"]["dice"]["mean"]
    groups = [summary["groups"][name]["classes"]["ring"]["dice"]["mean"] for name in ("bright", "dark")]
    assert mean == pytest.approx(np.mean(groups))
    assert mean == pytest.approx(np.mean([float(row["ring_dice"]) for row in table]), abs=1e-6)
    assert summary["hd95"]["unit"] == "mm" and (trained / "evaluate" / "test" / "contact_sheet.png").is_file()


def test_evaluation_repeats_and_shifts(trained: Path, root: Path, run: Run, tmp_path: Path) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    again = ["split=test", "data.misalignment.shift=0,24", "hydra.sweep.dir=moved"]
    assert run("evaluate", "-m", checkpoint, *again).status == 0
    repeated, moved = (scores(tmp_path / "moved" / job / "evaluate" / "test") for job in "01")
    assert repeated == scores(trained / "evaluate" / "test")
    assert moved != repeated
    assert run("report", "runs=moved", "split=test", "out=report", "resamples=100").status == 0
    assert "data.misalignment.shift" in (tmp_path / "report" / "report.html").read_text()
    counts = json.loads((tmp_path / "report" / "table.json").read_text())
    assert (counts["images"], counts["patients"]) == (len(moved), len(moved) // 2)  # two modalities of each case


def test_a_killed_run_resumes_to_the_same_weights(
    trained: Path, line: list[str], run: Run, kill: list[int], tmp_path: Path
) -> None:
    resumed = [*CMC, "hydra.run.dir=run", "evaluate=[]", "ckpt_path=auto", "callbacks.last.every_n_train_steps=1"]
    for step in (1, 2):  # in the middle of an epoch of the longer stream, and at its end
        kill[:] = [step]
        assert "Killed" in run("train", *line, *resumed).stderr
    kill.clear()
    assert run("train", *line, *resumed).status == 0
    assert last(tmp_path / "run")["global_step"] == STEPS and same_weights(trained, tmp_path / "run")


def test_caches_and_workers_change_nothing(trained: Path, line: list[str], run: Run, tmp_path: Path) -> None:
    cache = ["cache=disk", f"data.cache.folder={tmp_path / 'cache'}"]
    options = ["hydra.run.dir=run", "evaluate=[]", *cache, "data.num_workers=1"]
    assert run("train", *line, *CMC, *options).status == 0
    assert same_weights(trained, tmp_path / "run")


def test_predictions_keep_the_grid(trained: Path, root: Path, run: Run, tmp_path: Path) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    volumes = sorted((root / "images").glob("*.nii.gz"))[:4]
    (tmp_path / "in").mkdir()
    for path in volumes[:3]:  # the second case lacks a modality
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in" / "broken_dark.nii.gz").write_bytes(volumes[0].read_bytes()[:100])
    error = run("predict", checkpoint, "input=in", "out=out").error("predict")
    assert "1 of 4 images failed" in error and "broken_dark.nii.gz" in error
    for path in volumes[:3]:
        image, mask = nib.load(path), nib.load(tmp_path / "out" / "masks" / path.name)
        assert mask.shape == image.shape and np.array_equal(mask.affine, image.affine)
        assert set(np.unique(mask.dataobj)) <= {0, 1, 2, 3}
        assert (tmp_path / "out" / "overlays" / path.name.replace(".nii.gz", ".png")).is_file()
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        found = {row["structure"] for row in csv.DictReader(file)}
    assert found == set(json.loads((root / "dataset.json").read_text())["labels"].values()) - {"background"}


def test_slices_are_trained_resumed_evaluated_and_predicted(
    root: Path, run: Run, kill: list[int], tmp_path: Path, trained: Path
) -> None:
    data = [*SMALL, f"data.root={root}", "data.slices=true", "data.size=[32,32,1]", "data.labeled_slices=2"]
    network = ["backbone=basic_unet", "backbone.features=[4,4,8,8,8,4]", "loss=dice_ce", "augmentation=volumes_gin"]
    line = [*data, *network, *TINY[3:4], *TINY[7:], "supervision=mean_teacher", "evaluate=[test]"]
    assert run("train", *line, "hydra.run.dir=whole").status == 0
    kill[:] = [2]
    resumed = [*line, "hydra.run.dir=run", "ckpt_path=auto", "callbacks.last.every_n_train_steps=1"]
    assert "Killed" in run("train", *resumed).stderr
    kill.clear()
    assert run("train", *resumed).status == 0 and same_weights(tmp_path / "whole", tmp_path / "run")
    assert "slices across feet-head in 10 volumes" in (tmp_path / "run" / "train.log").read_text()
    checkpoint = f"checkpoint={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}"
    assert run("evaluate", checkpoint, "split=test", "out=again").status == 0
    table = scores(tmp_path / "run" / "evaluate" / "test")
    assert table == scores(tmp_path / "again") and len(table) == 2
    assert [*table[0]] == [*scores(trained / "evaluate" / "test")[0]]  # the columns of crops
    path = next((root / "images").glob("testing*_dark.nii.gz"))
    assert run("predict", checkpoint, f"input={path}", "out=out").status == 0
    image, mask = nib.load(path), nib.load(tmp_path / "out" / "masks" / path.name)
    assert mask.shape == image.shape and np.array_equal(mask.affine, image.affine)


def test_predicted_labels_train_a_second_network_and_largest_components_are_scored(
    trained: Path, line: list[str], root: Path, run: Run, tmp_path: Path
) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    given = [f"input={root / 'images'}", "largest_component=true"]
    assert run("predict", checkpoint, *given, "probabilities=true", "out=out").status == 0
    second = ["supervision=labeled_only", "data.predicted.path=out", "data.predicted.confidence=0.3"]
    result = run("train", *line, *second, "data.labeled_slices=1", "evaluate=[test]", "hydra.run.dir=second")
    assert result.status == 0, result
    assert "2 labeled, 3 predicted and 0 unlabeled cases" in (tmp_path / "second" / "train.log").read_text()
    refused = run("train", *line, *second, "data.fold=[0,2]", "hydra.run.dir=fold").error("train")
    assert "out was predicted by a network trained on patients of" in refused
    scored = ["split=test", "data.largest_component=true", "out=scored"]
    assert run("evaluate", checkpoint, *scored).status == 0
    assert scores(tmp_path / "scored") != scores(trained / "evaluate" / "test")
    for row in scores(tmp_path / "scored"):
        mask, truth = (
            np.asarray(nib.load(folder / "masks" / f"{row['id']}.nii.gz").dataobj)
            for folder in (tmp_path / "out", root)
        )
        dice = [2 * np.sum((mask == k) & (truth == k)) / np.sum((mask == k) * 1 + (truth == k)) for k in (1, 2, 3)]
        assert float(row["dice"]) == pytest.approx(np.mean(dice), abs=1e-6)


def test_copy_paste_works_with_one_labeled_case(line: list[str], run: Run) -> None:
    result = run("train", *line, "supervision=copy_paste", "data.labeled_fraction=0.5", "evaluate=[]")
    assert result.status == 0 and result.errors == [], result


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw three cases of one modality and one structure, partly unlabeled (9), with a map. Read-only."""
    root = tmp_path_factory.mktemp("single")
    content: dict = {"labels": {"0": "background", "1": "ball"}}
    for number, split in enumerate(("training", "validation", "testing")):
        image, mask, affine = draw([0, number], 0, (32, 32, 8), (4.0, 4.0, 12.0), 0.0)
        ball = (mask == 3).astype(np.uint8)
        ball[:8] = 9
        arrays = {"img_mri": image, "mask_mri": ball, "map_mri": np.where(mask == 3, 0.9, 0.1).astype(np.float32)}
        for key, array in arrays.items():
            nib.save(nib.Nifti1Image(array, affine), root / f"{split}_{key}.nii.gz")
        content[split] = [{"id": split, **{key: f"{split}_{key}.nii.gz" for key in arrays}}]
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    "method",
    [
        ["supervision=full", "data.classes=2", "loss=dice_ce"],
        ["supervision=band", "data.classes=1", "loss=dice_bce", "supervision.thresholds=[0.7,0.3]"],
    ],
    ids=["full", "band"],
)
def test_a_single_modality_is_trained_and_evaluated(method: list[str], single: Path, tmp_path: Path) -> None:
    data = ["data=paired_volumes", f"data.root={single}", "data.modalities=[mri]", "data.ignore_label=9", *SMALL[5:]]
    network = ["backbone=each_modality", *TINY[2:6], *TINY[7:]]
    result = invoke("train", *data, *network, *method, "evaluate=[val,test]", f"hydra.run.dir={tmp_path / 'run'}")
    assert result.status == 0, result
    [row] = scores(tmp_path / "run" / "evaluate" / "test")
    assert row["id"] == "testing_mri" and 0 <= float(row["dice"]) <= 1
    checkpoint = f"checkpoint={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}"
    again = invoke("evaluate", checkpoint, *data[:2], data[3], "split=test", f"hydra.run.dir={tmp_path / 'again'}")
    assert again.status == 0, again
    assert scores(tmp_path / "again" / "evaluate" / "test") == [row]


def test_a_network_of_volumes_refuses_images_and_maps_refuse_volumes(trained: Path, root: Path, run: Run) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    result = run("evaluate", checkpoint, "data=synthetic", "data.root=drawn", "data.dataset.images=9")
    assert "synthetic" in result.error("evaluate")
    assert "SyntheticPairs" in run("prepare", "data=paired_synthetic", f"data.root={root}").error("prepare")
