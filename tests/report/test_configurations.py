"""Runs are grouped by what matters and named by what differs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fovea.report.configurations import configurations, number, short_keys, shown
from fovea.report.runs import find_runs
from fovea.report.sweeps import swept

MakeRun = Callable[..., Path]


def grouped(tmp_path: Path, ignore: tuple[str, ...] = ()) -> dict[str, int]:
    listed = configurations(find_runs(str(tmp_path), "val", "dice"), ignore)
    return {each.name: len(each.runs) for each in listed}


def change(folder: Path, key: str, value: object) -> None:
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, key, value)
    OmegaConf.save(config, folder / "config.yaml")


def test_seeds_and_what_does_not_matter_make_one_configuration(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", seed=0)
    other = make_run("b", seed=1)
    free = {"data.root": "/elsewhere", "logger": "wandb", "trainer.log_every_n_steps": 1}
    for key, value in free.items():
        change(other, key, value)
    assert grouped(tmp_path) == {"all runs": 2}


def test_numbers_that_are_equal_are_one_value(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    change(make_run("b"), "data.fraction", 1)
    assert grouped(tmp_path) == {"all runs": 2}


def test_the_number_of_steps_matters(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", {"trainer.max_steps": 40})
    assert grouped(tmp_path) == {"max_steps=30": 1, "max_steps=40": 1}
    assert grouped(tmp_path, ("trainer",)) == {"all runs": 2}


def test_paths_below_the_data_and_the_run_are_the_same_wherever_they_are(make_run: MakeRun, tmp_path: Path) -> None:
    for name, root in {"a": "/data/mine", "b": "/scratch/mine"}.items():
        folder = make_run(name)
        change(folder, "data.root", root)
        change(folder, "labels.path", f"{root}/fixations.csv")
    assert grouped(tmp_path) == {"all runs": 2}
    change(folder, "labels.path", "/other/fixations.csv")
    assert len(grouped(tmp_path)) == 2


def test_a_name_has_what_was_chosen_and_no_more_than_it_takes(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(f"full{seed}", {"supervision": "full", "supervision.thresholds": []}, seed=seed)
        make_run(f"prop{seed}", {"supervision": "gaze"}, seed=seed)
        make_run(f"pure{seed}", {"supervision": "gaze", "supervision.consistency": "pure"}, seed=seed)
    assert grouped(tmp_path) == {
        "supervision=full": 2,
        "supervision=gaze, consistency=prop": 2,
        "supervision=gaze, consistency=pure": 2,
    }


def test_without_command_lines_classes_name_the_configurations(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("full", "band"):
        (make_run(name, {"supervision": name}) / "provenance.json").write_text("{}")
    assert grouped(tmp_path) == {"supervision=Band": 1, "supervision=Full": 1}


def test_equal_class_names_are_told_apart(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("one", "two"):
        change(make_run(name), "supervision._target_", f"{name}.Net")
    assert grouped(tmp_path) == {"supervision=Net (1)": 1, "supervision=Net (2)": 1}


def test_all_keys_that_differ_are_kept(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    change(make_run("b", {"labels.sigma": 50.0}), "store", "stores/sigma50.0")
    first, second = configurations(find_runs(str(tmp_path), "val", "dice"))
    assert (first.name, second.name) == ("sigma=50", "sigma=70")  # numbers rise
    assert first.values == {"labels.sigma": 50, "store": "stores/sigma50.0"}


@pytest.mark.parametrize(
    ("keys", "short"),
    [
        ({"optimizer.lr"}, {"optimizer.lr": "lr"}),
        (
            {"loss.weight", "supervision.weight"},
            {"loss.weight": "loss.weight", "supervision.weight": "supervision.weight"},
        ),
        ({"loss._target_", "seed"}, {"loss._target_": "loss", "seed": "seed"}),
    ],
)
def test_keys_are_shortened_where_they_stay_distinct(keys: set[str], short: dict[str, str]) -> None:
    assert short_keys(keys) == short


def test_values_are_shown_as_on_a_command_line() -> None:
    assert [shown("a", value) for value in (None, True, [0.5, 1], "a.b", 0.1)] == [
        "null",
        "true",
        "[0.5,1]",
        "a.b",
        "0.1",
    ]
    assert shown("loss._target_", "monai.losses.DiceLoss") == "DiceLoss"
    assert [number(value) for value in (1, 0.5, [0.3], True, [1, 2], "1")] == [1, 0.5, 0.3, None, None, None]


def lines(tmp_path: Path) -> dict[str, list[list[str]]]:
    listed = configurations(find_runs(str(tmp_path), "val", "dice"))
    return {key: [[listed[place].name for place in line] for line in found] for key, found in swept(listed).items()}


def test_a_swept_number_makes_a_line_for_each_choice_beside_it(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("gaze", "band"):
        for fraction in (1.0, 0.1, 0.5):
            make_run(f"{name}{fraction}", {"supervision": name, "data.fraction": fraction})
    found = lines(tmp_path)
    assert list(found) == ["data.fraction"]
    assert sorted(found["data.fraction"]) == [
        [f"supervision={name}, fraction={fraction}" for fraction in (0.1, 0.5, 1)] for name in ("band", "gaze")
    ]


def test_what_follows_from_a_swept_number_does_not_break_its_line(make_run: MakeRun, tmp_path: Path) -> None:
    for sigma in (30.0, 70.0, 110.0):
        change(make_run(f"{sigma}", {"labels.sigma": sigma}), "store", f"stores/sigma{sigma}")
    assert lines(tmp_path) == {"labels.sigma": [["sigma=30", "sigma=70", "sigma=110"]]}


def test_two_choices_that_change_together_make_no_line(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", {"supervision": "gaze", "optimizer.lr": 0.1})
    make_run("b", {"supervision": "band", "optimizer.lr": 0.2})
    assert lines(tmp_path) == {}


def test_thresholds_of_one_level_are_a_number(make_run: MakeRun, tmp_path: Path) -> None:
    for threshold in (0.5, 0.3):
        make_run(f"{threshold}", {"supervision.thresholds": [threshold]})
    assert lines(tmp_path) == {"supervision.thresholds": [["thresholds=[0.3]", "thresholds=[0.5]"]]}
