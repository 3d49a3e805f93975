"""Runs are grouped by what matters, named by what differs, and lined up by what was swept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fovea.report.configurations import completed, configurations, number, short_keys, shown, swept
from fovea.report.runs import find_runs

MakeRun = Callable[..., Path]


def grouped(tmp_path: Path, ignore: tuple[str, ...] = ()) -> dict[str, int]:
    groups = configurations(completed(find_runs(str(tmp_path), "val", "dice"), ignore), ignore)
    return {group.name: len(group.runs) for group in groups}


def change(folder: Path, key: str, value: object) -> None:
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, folder / "config.yaml")


class TestGroups:
    def test_seeds_and_machines_do_not_matter(self, make_run: MakeRun, tmp_path: Path) -> None:
        make_run("a", seed=0)
        other = make_run("b", seed=1)
        free = {"data.root": "/elsewhere", "logger": "wandb", "data.maps.store": "x", "trainer.log_every_n_steps": 1}
        for key, value in free.items():
            change(other, key, value)
        change(other, "labels.path", "/elsewhere/fixations.csv")  # relative to the data root
        change(make_run("c"), "data.fraction", 1)  # equal to 1.0
        change(make_run("d"), "scheduler._target_", "fovea.schedules.constant")  # its path before it moved
        for name, highest in {"a": 1.0, "b": 1.0, "c": 1, "d": 1.0}.items():
            change(tmp_path / "runs" / name, "supervision.thresholds", [0.5, highest])
        assert grouped(tmp_path) == {"all runs": 4}

    def test_steps_and_other_paths_matter(self, make_run: MakeRun, tmp_path: Path) -> None:
        make_run("a")
        make_run("b", {"trainer.max_steps": 40})
        assert grouped(tmp_path) == {"max_steps=30": 1, "max_steps=40": 1}
        assert grouped(tmp_path, ("trainer",)) == {"all runs": 2}
        change(tmp_path / "runs" / "b", "labels.path", "/other/fixations.csv")
        assert len(grouped(tmp_path, ("trainer",))) == 2

    @pytest.mark.parametrize(
        ("exif", "chosen", "commit", "groups"),
        [
            ("ignore", {}, "fedcba9876543210", {"all runs": 2}),
            ("apply", {}, "fedcba9876543210", {"exif=-": 1, "exif=apply": 1}),
            ("ignore", {}, "0123456789abcdef", {"exif=-": 1, "exif=ignore": 1}),  # the same code: it was removed
            ("ignore", {"supervision": "mine"}, "fedcba9876543210", {"exif=-": 1, "exif=ignore": 1}),
        ],
    )
    def test_a_key_that_an_earlier_version_lacked_has_its_default(
        self, make_run: MakeRun, tmp_path: Path, exif: str, chosen: dict, commit: str, groups: dict
    ) -> None:
        make_run("old", seed=0)
        new = make_run("new", chosen, seed=1)
        change(new, "data.exif", exif)
        change(new, "supervision._target_", "fovea.supervision.multi_level.MultiLevel")
        (new / "provenance.json").write_text((new / "provenance.json").read_text().replace("0123456789abcdef", commit))
        assert grouped(tmp_path) == groups

    def test_seeds_with_a_teacher_each_are_one_configuration(self, make_run: MakeRun, tmp_path: Path) -> None:
        for name, path in {"a": "first/", "b": "other_"}.items():
            for seed in (0, 1):
                folder = make_run(f"{name}/{seed}", seed=seed)
                recipe = OmegaConf.load(folder / "config.yaml")
                recipe.update({"run_dir": "${hydra:runtime.output_dir}", "hydra": {"job": "${hydra:x}"}})
                recipe.data.seed = "${seed}"
                recipe.labels.update({"path": f"{path}${{seed}}", "dose": ["${labels.path}", "x"], "sigma": "${seed}"})
                OmegaConf.save(recipe, folder / "recipe.yaml")
                for key, value in {"path": f"{path}{seed}", "dose": [f"{path}{seed}", "x"], "sigma": 0}.items():
                    change(folder, f"labels.{key}", value)
        assert grouped(tmp_path) == {"labels.path=first/{seed}": 2, "labels.path=other_{seed}": 2}
        change(tmp_path / "runs/a/1", "labels.sigma", 1)  # a number is a setting, also where it is the seed
        (tmp_path / "runs/b/1/recipe.yaml").unlink()
        assert sorted(grouped(tmp_path).values()) == [1, 1, 1, 1]


class TestNames:
    def test_a_name_has_the_choices_and_no_more(self, make_run: MakeRun, tmp_path: Path) -> None:
        for seed in (0, 1):
            make_run(f"full{seed}", {"supervision": "full", "supervision.thresholds": []}, seed=seed)
            make_run(f"prop{seed}", {"supervision": "gaze"}, seed=seed)
            make_run(f"pure{seed}", {"supervision": "gaze", "supervision.consistency": "pure"}, seed=seed)
        assert grouped(tmp_path) == {
            "supervision=full": 2,
            "supervision=gaze, consistency=prop": 2,
            "supervision=gaze, consistency=pure": 2,
        }

    def test_what_does_not_matter_is_no_name(self, make_run: MakeRun, tmp_path: Path) -> None:
        for rate in (0.1, 0.2):
            folder = make_run(f"{rate}", {"optimizer.lr": rate})
            change(folder, "logger.csv.folder", str(folder))
            words = [f"optimizer.lr={rate}", f"+logger.csv={{folder:{folder}}}"]
            (folder / "provenance.json").write_text(json.dumps({"overrides": words}))
        assert grouped(tmp_path) == {"lr=0.1": 1, "lr=0.2": 1}

    def test_what_is_absent_is_not_named(self, make_run: MakeRun, tmp_path: Path) -> None:
        for name, rate in {"a": 0.1, "b": 0.2, "c": 0.2}.items():
            folder = make_run(name, {"optimizer.lr": rate})
        change(folder, "checkpoint", "last.ckpt")
        assert grouped(tmp_path) == {"lr=0.1": 1, "lr=0.2": 1, "lr=0.2, checkpoint=last.ckpt": 1}
        assert grouped(tmp_path, ("optimizer",)) == {"checkpoint=-": 2, "checkpoint=last.ckpt": 1}

    def test_labels_and_refiners_are_named_also_by_default(self, make_run: MakeRun, tmp_path: Path) -> None:
        for labels, refine in (("gaze", "lattice"), ("gaze", "grabcut"), ("boxes", "lattice")):
            folder = make_run(labels + refine, {"store": f"stores/{labels}_{refine}", "supervision.thresholds": [0.5]})
            change(folder, "labels.name", labels)
            change(folder, "refine.name", refine)
        names = ["labels=gaze, refine=lattice", "labels=gaze, refine=grabcut", "labels=boxes"]
        assert sorted(grouped(tmp_path)) == sorted(names)

    def test_without_overrides_classes_are_the_names(self, make_run: MakeRun, tmp_path: Path) -> None:
        for name in ("full", "band"):
            (make_run(name, {"supervision": name}) / "provenance.json").write_text("{}")
        assert grouped(tmp_path) == {"supervision=Band": 1, "supervision=Full": 1}
        for name in ("full", "band"):
            change(tmp_path / "runs" / name, "supervision._target_", f"{name}.Net")
        assert grouped(tmp_path) == {"supervision=Net (1)": 1, "supervision=Net (2)": 1}

    def test_a_class_is_named_by_the_choice_where_all_its_runs_name_it(self, make_run: MakeRun, tmp_path: Path) -> None:
        make_run("few", {"supervision": "labeled_only"})
        change(tmp_path / "runs/few", "supervision._target_", "fovea.supervision.full.Full")
        make_run("default")  # MultiLevel, by no word of its command line
        [default, few] = configurations(find_runs(str(tmp_path), "val", "dice"))
        assert (few.name, default.name) == ("supervision=labeled_only", "supervision=MultiLevel")
        assert few.values == {"supervision._target_": "labeled_only"}
        full = make_run("full", {"optimizer.lr": 0.1})
        change(full, "supervision._target_", "fovea.supervision.full.Full")
        assert {*grouped(tmp_path)} == {
            "lr=0.1",
            "lr=0.01, supervision=Full",
            "lr=0.01, supervision=MultiLevel",
        }

    def test_numbers_of_a_search_are_short_where_they_stay_distinct(self, make_run: MakeRun, tmp_path: Path) -> None:
        for name, rate in zip("abc", (0.0044303752452182, 0.10010293733561, 0.2), strict=True):
            make_run(name, {"optimizer.lr": rate})
        assert grouped(tmp_path) == {"lr=0.00443": 1, "lr=0.1001": 1, "lr=0.2": 1}
        make_run("d", {"optimizer.lr": 0.10010293733562})
        assert [*grouped(tmp_path)][1:3] == ["lr=0.10010293733561", "lr=0.10010293733562"]

    def test_all_keys_that_differ_are_kept(self, make_run: MakeRun, tmp_path: Path) -> None:
        make_run("a")
        change(make_run("b", {"labels.sigma": 50.0}), "store", "stores/sigma50.0")
        change(tmp_path / "runs/b", "optimizer._partial_", True)  # no setting
        first, second = configurations(find_runs(str(tmp_path), "val", "dice"))
        assert (first.name, second.name) == ("sigma=50", "sigma=70")  # numbers rise
        assert first.values == {"labels.sigma": 50, "store": "stores/sigma50.0"}


def test_keys_and_values_are_short() -> None:
    keys = ["loss._target_", "loss.weight", "optimizer.lr", "supervision.weight"]
    short = ["loss", "loss.weight", "lr", "supervision.weight"]
    assert short_keys({*keys}) == dict(zip(keys, short, strict=True))
    values = (None, True, [0.5, 1], "a.b", 0.1)
    assert [shown("a", value) for value in values] == ["null", "true", "[0.5,1]", "a.b", "0.1"]
    assert shown("loss._target_", "monai.losses.DiceLoss") == "DiceLoss"
    assert [number(value) for value in (1, 0.5, [0.3], True, [1, 2], "1")] == [1, 0.5, 0.3, None, None, None]


class TestSwept:
    @staticmethod
    def lines(tmp_path: Path) -> dict[str, list[list[str]]]:
        groups = configurations(find_runs(str(tmp_path), "val", "dice"))
        return {key: [[groups[place].name for place in line] for line in lines] for key, lines in swept(groups).items()}

    def test_each_other_choice_has_a_line(self, make_run: MakeRun, tmp_path: Path) -> None:
        for name in ("gaze", "band"):
            for fraction in (1.0, 0.1, 0.5):
                make_run(f"{name}{fraction}", {"supervision": name, "data.fraction": fraction})
        lines = self.lines(tmp_path)
        assert list(lines) == ["data.fraction"]
        assert sorted(lines["data.fraction"]) == [
            [f"supervision={name}, fraction={fraction}" for fraction in (0.1, 0.5, 1)] for name in ("band", "gaze")
        ]

    @pytest.mark.parametrize(
        ("runs", "lines"),
        [
            (
                [{"labels.sigma": sigma, "store": f"stores/sigma{sigma}"} for sigma in (30.0, 70.0, 110.0)],
                {"labels.sigma": [["sigma=30", "sigma=70", "sigma=110"]]},  # their stores are a consequence
            ),
            ([{"supervision": "gaze", "optimizer.lr": 0.1}, {"supervision": "band", "optimizer.lr": 0.2}], {}),
            (
                [{"supervision.thresholds": [threshold]} for threshold in (0.5, 0.3)],
                {"supervision.thresholds": [["thresholds=[0.3]", "thresholds=[0.5]"]]},
            ),
        ],
        ids=["consequences", "two_choices_together", "lists_of_one"],
    )
    def test_what_makes_a_line(self, make_run: MakeRun, tmp_path: Path, runs: list[dict], lines: dict) -> None:
        for place, changes in enumerate(runs):
            folder = make_run(f"{place}", {key: value for key, value in changes.items() if key != "store"})
            if "store" in changes:
                change(folder, "store", changes["store"])
        assert self.lines(tmp_path) == lines
