"""The search by Optuna, with jobs that only compute a number."""

import fcntl
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fovea.sweeps.findings import importance_chart
from fovea.sweeps.owner import own
from fovea.sweeps.space import space
from fovea.sweeps.study import value_of

from .jobs import SPACE, Jobs, dies, score, search


class TestSpace:
    def test_overrides_become_distributions(self) -> None:
        ranges = ["b=range(0,10,3)", "c=int(interval(1,4))", "d=tag(log,interval(0.1,1))"]
        result = space(["a=1,2", *ranges, "e=[1],[1,2]", "f=x", "a=5"])
        assert dict(result.searched) == {
            "b": IntDistribution(0, 9, step=3),
            "c": IntDistribution(1, 4),
            "d": FloatDistribution(0.1, 1, log=True),
            "e": CategoricalDistribution(["[1]", "[1,2]"]),
        }
        assert set(result.fixed) == {"a=5", "f=x"}

    @pytest.mark.parametrize("arguments", [["a=1"], ["a=tag(log,interval(0,1))"], ["a=interval(2,1)"]])
    def test_invalid_searches_are_refused(self, arguments: list[str]) -> None:
        with pytest.raises(ValueError, match="interval"):
            space(arguments)


class TestResume:
    def test_an_interrupted_search_proposes_the_same(self, tmp_path: Path) -> None:
        whole, first, second = Jobs(score), Jobs(score), Jobs(score)
        search(tmp_path / "whole", whole).run(SPACE)
        search(tmp_path / "parts", first, n_trials=2).run(SPACE)
        search(tmp_path / "parts", second).run(SPACE)
        assert len(whole.seen) == 6 and whole.proposed == first.proposed + second.proposed
        search(tmp_path / "parts", Jobs(dies)).run(SPACE)  # nothing is missing
        assert OmegaConf.load(tmp_path / "parts" / "multirun.yaml").hydra.sweep.dir == str(tmp_path / "parts")
        assert all(keys["trainer.max_steps"] == "5" for keys in whole.seen)

    def test_a_killed_trial_is_repeated_with_its_values(self, tmp_path: Path) -> None:
        dead, after = Jobs(dies), Jobs(score)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, dead).run(SPACE)
        search(tmp_path, after, n_trials=2).run([*SPACE, "data.num_workers=4", "logger=wandb"])  # without effect
        assert after.proposed[0] == dead.proposed[0] and len(after.seen) == 2

    def test_a_moved_search_resumes_in_its_new_folder(self, tmp_path: Path) -> None:
        dead, after = Jobs(dies), Jobs(score)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "old", dead).run(SPACE)
        (tmp_path / "old").rename(tmp_path / "new")
        search(tmp_path / "new", after, n_trials=1).run(SPACE)
        assert after.proposed == dead.proposed
        assert [path.name for path in tmp_path.iterdir()] == ["new"] and not list((tmp_path / "new").glob(".*.lock"))

    def test_the_trial_of_a_living_process_is_left(self, tmp_path: Path) -> None:
        lock = tmp_path / "alive.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(KeyboardInterrupt):
                search(tmp_path, Jobs(dies)).run(SPACE)
            backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
            study = optuna.load_study(study_name="fovea", storage=optuna.storages.JournalStorage(backend))
            own(study, 0, str(lock))
            jobs = Jobs(score)
            search(tmp_path, jobs, n_trials=2).run(SPACE)
            assert [number for number, _, _ in jobs.proposed] == ["1"]

    def test_a_failed_trial_is_replaced(self, tmp_path: Path) -> None:
        def fails_once(keys: dict[str, str]) -> float:
            if keys["hydra.sweep.subdir"] == "1":
                raise ValueError("broken")
            return score(keys)

        with pytest.raises(ValueError, match=r"1 trials failed; .*1: broken"):
            search(tmp_path, Jobs(fails_once)).run(SPACE)
        again = Jobs(score)
        search(tmp_path, again).run(SPACE)
        assert [number for number, _, _ in again.proposed] == ["6"]  # five were completed

    @pytest.mark.slow
    def test_processes_share_a_study(self, tmp_path: Path) -> None:
        script = tmp_path / "work.py"
        script.write_text(
            f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from pathlib import Path\nfrom jobs import SPACE, Jobs, score, search\n"
            "def slow(keys):\n    time.sleep(0.05)\n    return score(keys)\n"
            f"search(Path({str(tmp_path)!r}), Jobs(slow), n_trials=8).run(SPACE)\n"
        )
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        working = [subprocess.Popen([sys.executable, script], env=environment) for _ in range(2)]
        assert [process.wait(180) for process in working] == [0, 0]
        rows = [row.split(",") for row in (tmp_path / "trials.csv").read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == [str(number) for number in range(len(rows))]
        assert 8 <= len(rows) <= 9 and len({row[4] for row in rows}) == len(rows)  # no proposal was made twice


def test_findings_are_written(tmp_path: Path) -> None:
    search(tmp_path, Jobs(score), n_trials=8, n_jobs=3).run(SPACE)
    rows = (tmp_path / "trials.csv").read_text().splitlines()
    assert rows[0] == "trial,state,value,loss,lr" and len(rows) == 9
    result = OmegaConf.load(tmp_path / "study.json")
    assert result.best.value == pytest.approx(max(float(row.split(",")[2]) for row in rows[1:]))
    assert sum(result.importance.values()) == pytest.approx(1, abs=1e-4)
    drawn = (tmp_path / "importance.svg").read_text()
    assert {"lr", "loss"} <= {text.text for text in ElementTree.fromstring(drawn).iter() if text.tag.endswith("text")}


def test_the_most_important_key_is_first() -> None:
    root = ElementTree.fromstring(importance_chart({"a<b": 0.25, "c": 0.75}, "T"))
    widths = [float(bar.get("width", 0)) for bar in root.iter() if bar.get("class") == "bar"]
    assert widths == sorted(widths, reverse=True) and len(widths) == 2
    assert [each.text for each in root.iter() if each.get("text-anchor") == "end"] == ["c", "a<b"]


def test_a_job_without_a_score_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for place, value in enumerate((None, float("nan"))):
        with pytest.raises(ValueError, match=r"instead of a score; evaluate="):
            search(tmp_path / f"{place}", Jobs(lambda keys, value=value: value), n_trials=1).run(SPACE)
    end = JobReturn(overrides=["a=1"], status=JobStatus.FAILED)
    end.return_value = ValueError("broken")
    capfd.readouterr()
    with pytest.raises(ValueError, match="broken"):
        value_of(end)
    assert capfd.readouterr() == ("", "")  # Hydra would print


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "settings", "line"),
        [
            (
                ["lr=tag(log,interval(0.01,1))", *SPACE[1:]],
                {},
                r"has other values: lr=tag\(log,interval\(0\.001,1\)\), lr=tag\(.*0\.01,1",
            ),
            ([*SPACE[:2], "trainer.max_steps=6"], {}, r"has other values: trainer\.max_steps=5, trainer\.max_steps=6"),
            (SPACE, {"direction": "minimize"}, r"has direction=maximize, not minimize"),
            (SPACE, {"storage": "mysterious://nowhere"}, r"storage=mysterious://nowhere: cannot be used"),
        ],
    )
    def test_another_search_in_the_storage(
        self, arguments: list[str], settings: dict[str, object], line: str, tmp_path: Path
    ) -> None:
        search(tmp_path, Jobs(score), n_trials=1).run(SPACE)
        with pytest.raises(ValueError, match=line) as refusal:
            search(tmp_path, Jobs(score), **settings).run(arguments)
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize(("score", "direction"), [("hd95", "maximize"), ("dice", "minimize")])
    def test_a_search_for_the_worst(self, score: str, direction: str, tmp_path: Path) -> None:
        searched = search(tmp_path, Jobs(dies), direction=direction)
        searched.config.objective = {"score": score}
        with pytest.raises(ValueError, match=rf"direction={direction} prefers the worst {score}; set m"):
            searched.run(SPACE)


class TestStorage:
    @pytest.mark.slow
    def test_an_abandoned_lock_is_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("fovea.sweeps.study.ABANDONED", 3)
        jobs = Jobs(score)
        search(Path("study"), jobs, n_trials=1).run(SPACE)
        Path("study/study.journal.lock").symlink_to(tmp_path / "study" / "study.journal")
        started = time.monotonic()
        search(Path("study"), jobs, n_trials=2).run(SPACE)
        assert len(jobs.seen) == 2 and time.monotonic() - started > 3
        assert not [path for path in Path("study").iterdir() if path.name.startswith("study.journal.")]

    def test_a_torn_line_is_dropped_and_another_file_kept(self, tmp_path: Path) -> None:
        jobs, journal, other = Jobs(score), tmp_path / "study.journal", tmp_path / "notes.txt"
        search(tmp_path, jobs, n_trials=1).run(SPACE)
        whole = journal.read_bytes()
        for torn in (whole + whole.splitlines()[-1][:25], whole + b'{"op'):
            journal.write_bytes(torn)
            search(tmp_path, jobs, n_trials=1).run(SPACE)
            assert journal.read_bytes().startswith(whole)
        search(tmp_path, jobs, n_trials=2).run(SPACE)
        assert len(jobs.seen) == 2
        other.write_text("mine\nand no journal")
        with pytest.raises(ValueError, match=r"notes\.txt: cannot be used"):
            search(tmp_path, jobs, storage=str(other)).run(SPACE)
        assert other.read_text().startswith("mine\nand no journal")

    def test_a_locked_database_is_refused(self, tmp_path: Path) -> None:
        place = f"sqlite:///{tmp_path}/study.db?timeout=0.1"
        search(tmp_path, Jobs(score), storage=place, n_trials=1).run(SPACE)
        with sqlite3.connect(tmp_path / "study.db") as database:
            database.execute("BEGIN EXCLUSIVE")
            with pytest.raises(ValueError, match=r"cannot be used: database is locked; stop what locks it"):
                search(tmp_path, Jobs(score), storage=place).run(SPACE)
