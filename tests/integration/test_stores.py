"""A store belongs to its labels, images and parameters; a printed command works when it is pasted."""

import shlex
import shutil
from pathlib import Path

import pytest

from .commands import LIGHT, Run, folder, gaze

pytestmark = pytest.mark.slow
PSEUDO = [*LIGHT, "supervision=pseudo", "evaluate=[]"]


def pasted(error: str) -> list[str]:
    """Return the overrides of the command that an error prints at its end."""
    command, *overrides = shlex.split(error.rpartition("run ")[2])
    assert command == "fovea-prepare"
    return overrides


def halved(root: Path, to: Path) -> Path:
    """Write every second fixation of a data set as other labels."""
    header, *rows = (root / "fixations.csv").read_text().splitlines()
    to.write_text("\n".join([header, *rows[::2]]) + "\n")
    return to


class TestPastedCommand:
    @pytest.mark.parametrize(
        "options",
        [
            ["labels.sigma=31", "refine=guided", "refine.radius=9", "data.name='2024'", "data.channels=1"],
            ["labels.path='more (1), it\\'s.csv'", "refine=none", "store='a store=1'"],
        ],
        ids=["default_store", "quotes"],
    )
    def test_of_a_missing_store(self, run: Run, root: Path, tmp_path: Path, options: list[str]) -> None:
        halved(root, tmp_path / "more (1), it's.csv")
        error = run("train", *folder(root), *PSEUDO, *options).error("train")
        assert error.startswith("no manifest.json in ")
        prepared = run("prepare", *pasted(error))
        assert prepared.status == 0, prepared
        trained = run("train", *folder(root), *PSEUDO, *options)
        assert trained.status == 0, trained

    def test_of_a_store_of_other_labels(self, run: Run, root: Path, store: Path, tmp_path: Path) -> None:
        halved(root, tmp_path / "other.csv")
        shutil.copytree(store, tmp_path / "store")
        line = [*folder(root), *PSEUDO, "refine=none", "labels.path=other.csv"]
        error = run("train", *line, "store=store").error("train")
        assert "other.csv is not the file that its maps were made from" in error
        overrides = pasted(error)
        prepared = run("prepare", *overrides)
        assert prepared.status == 0, prepared
        trained = run("train", *line, overrides[-1])
        assert trained.status == 0, trained


class TestLabels:
    def test_missing_labels_are_reported(self, run: Run, root: Path, store: Path) -> None:
        trained = run("train", *folder(root), *gaze(store), *PSEUDO, "labels.path=gone.csv")
        assert trained.status == 0, trained
        assert trained.stdout.count("labels.path=gone.csv does not exist") == 1

    def test_evaluation_refuses_other_labels(self, run: Run, root: Path, checkpoint: str, tmp_path: Path) -> None:
        other = halved(root, tmp_path / "other.csv")
        options = ["split=val", "data.select_on=pseudo", f"data.maps.labels.path={other}", "out=out"]
        error = run("evaluate", checkpoint, *options).error("evaluate")
        assert "other.csv is not the file that its maps were made from" in error

    def test_observers_have_stores_of_their_own(self, run: Run, root: Path, tmp_path: Path) -> None:
        """The lines of docs/quality.md."""
        simulated = ["observer.fixations=2,5", "out=fixations_${observer.fixations}.csv"]
        swept = ["labels.path=fixations_2.csv,fixations_5.csv", "refine=none"]
        assert run("simulate", "-m", *folder(root), *simulated).status == 0
        prepared = run("prepare", "-m", *folder(root), *swept)
        assert prepared.status == 0, prepared
        assert len(list((tmp_path / "data" / "stores" / "folder").iterdir())) == 2
        trained = run("train", "-m", *folder(root), *swept, *PSEUDO)
        assert trained.status == 0, trained


@pytest.mark.parametrize(("observer", "labels"), [("box", "boxes"), ("point", "points"), ("scribble", "scribbles")])
def test_other_labels_from_masks_to_an_evaluation(
    run: Run, root: Path, tmp_path: Path, observer: str, labels: str
) -> None:
    assert run("simulate", *folder(root), f"observer={observer}", "out=made").status == 0
    line = [*folder(root), f"labels={labels}", "labels.path=made", "refine=none"]
    training = [*line, *LIGHT, "supervision=band", "evaluate=[val]", "run_dir=RUN"]
    error = run("train", *training, "store=store").error("train")
    prepared = run("prepare", *pasted(error), "quality=masks")
    assert prepared.status == 0, prepared
    assert "Quality of labels" in (tmp_path / "store" / "quality.html").read_text()
    trained = run("train", *training, "store=store")
    assert trained.status == 0, trained
    assert "shows no" not in trained.stdout and (tmp_path / "RUN/evaluate/val/contact_sheet.png").is_file()
