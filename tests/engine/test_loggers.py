"""The table of metrics: continued, cut back, and never half written; what trackers get of an evaluation."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from fovea.engine import loggers
from fovea.engine.loggers import MetricsTable, publish, rewind, wandb


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_a_table_is_continued_with_new_columns(tmp_path: Path) -> None:
    first = MetricsTable(str(tmp_path))
    for step in range(3):
        first.log_metrics({"loss": 0.5}, step)
    first.finalize("success")
    rewind(tmp_path, 2)
    second = MetricsTable(str(tmp_path))
    second.log_metrics({"loss": 0.25, "val/dice": 0.75}, 2)
    second.save()
    expected = [{"loss": "0.5", "step": "0"}, {"loss": "0.5", "step": "1"}]
    assert rows(tmp_path) == [*expected, {"loss": "0.25", "step": "2", "val/dice": "0.75"}]
    rewind(tmp_path, None)  # the table of another run
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.1.csv"]


def test_a_resumed_run_keeps_its_id_and_another_one_in_its_folder_gets_its_own(tmp_path: Path) -> None:
    options = {"folder": str(tmp_path), "offline": True, "group": None, "log_model": False}
    ids = [wandb(**options).version, wandb(**options).version]
    (tmp_path / "metrics.1.csv").touch()
    assert ids[0] == ids[1] != wandb(**options).version


def test_a_full_disk_under_a_tracker_names_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def finish(exit_code: int) -> None:
        raise OSError(28, "No space left on device")

    options = {"folder": str(tmp_path), "offline": True, "group": None, "log_model": False}
    config = {"run_dir": str(tmp_path), "logger": {"wandb": {"_target_": "fovea.engine.loggers.wandb", **options}}}
    monkeypatch.setattr(loggers, "started_run", lambda tracker: SimpleNamespace(finish=finish))
    monkeypatch.setattr(WandbLogger, "log_hyperparams", lambda *args: None)
    (tmp_path / "recipe.yaml").touch()
    for place in ("missing/recipe.yaml/files", "recipe.yaml/files"):  # the second cannot be made
        experiment = SimpleNamespace(dir=str(tmp_path / place), save=lambda *args, **kwargs: None)
        monkeypatch.setattr(WandbLogger, "experiment", experiment)
        told = f"cannot write {tmp_path}/(wandb: no space|{place}/recipe.yaml: not a)"
        with pytest.raises(ValueError, match=told), loggers.opened(config):
            assert place.startswith("missing")


def test_a_write_that_fails_keeps_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = MetricsTable(str(tmp_path))
    table.log_metrics({"loss": 0.5}, 0)
    table.save()
    before = rows(tmp_path)
    table.log_metrics({"other": 1.0}, 1)

    def full(*args: object) -> None:
        raise ValueError("disk full")

    monkeypatch.setattr(loggers, "write_csv", full)  # writes beside the file, then renames: tests/runtime/test_files.py
    with pytest.raises(ValueError, match="disk full"):
        table.save()
    assert rows(tmp_path) == before
    monkeypatch.undo()
    table.save()
    assert rows(tmp_path) == [*before, {"other": "1.0", "step": "1"}]


def test_the_means_are_those_of_all_and_of_each_class_and_modality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, float] = {}
    monkeypatch.setattr(TensorBoardLogger, "log_metrics", lambda self, metrics, step: logged.update(metrics))
    means = {"": 0.5, "cup": 0.6, "LGE": 0.7}
    of = {name: {"dice": {"mean": mean}, "n": 3} for name, mean in means.items()}
    summary = of[""] | {"classes": {"cup": of["cup"]}, "groups": {"LGE": of["LGE"]}, "metrics": {"auroc": 0.9}}
    publish([TensorBoardLogger(tmp_path)], {"run_dir": tmp_path, "logger": {}}, tmp_path, 3, {"val": (summary, [])})
    start = "evaluate/val/"
    expected = {f"{start}dice": 0.5, f"{start}cup_dice": 0.6, f"{start}LGE_dice": 0.7, f"{start}auroc": 0.9}
    assert logged == expected
