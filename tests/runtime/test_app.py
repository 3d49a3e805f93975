"""Errors as one line."""

import json
import logging
import re
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from logging.config import dictConfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from submitit.core.utils import FailedJobError, UncompletedJobError
from torch._utils import ExceptionWrapper
from yaml import MarkedYAMLError

from fovea.runtime.app import end_in_one_line
from fovea.runtime.config import config_folder, instantiate
from fovea.runtime.files import whole_file
from fovea.runtime.job import Command, failure_recorded
from fovea.runtime.one_line import one_line

KILLED = "Job 4_1 (task: 0) with path /s/4_1_0_result.pkl\nhas not produced any output (state: OUT_OF_MEMORY)\nlog"


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (ValueError("two\nlines"), "two; lines"),
        (KeyError("k"), "KeyError"),
        (ImportError("import einops (none).\n\nFor details"), "a package is missing: import einops (none); install it"),
        (OSError(28, "No space left", "x.png"), "x.png: no space left"),
        (OSError(28, "No space left"), "no space left; check"),
        (UnicodeEncodeError("utf-8", "\udcc3", 0, 1, "surrogates not allowed"), "set PYTHONUTF8=1 ("),
        (UncompletedJobError(KILLED), "has not produced any output (state: OUT_OF_MEMORY); see"),
        (FailedJobError("sbatch: error: invalid partition\n"), "invalid partition; see sinfo"),
    ],
)
def test_any_error_is_one_line(error: Exception, part: str) -> None:
    assert part in one_line(error) and "\n" not in one_line(error)


def test_an_error_of_a_library_says_how_to_see_the_traceback_and_our_own_does_not() -> None:
    assert one_line(ValueError("mask.png is empty; draw one")) == "mask.png is empty; draw one"
    with pytest.raises(ValueError) as caught:
        np.stack([])
    assert re.search(r" \(test_app.py, line \d+; HYDRA_FULL_ERROR=1 shows where\)$", one_line(caught.value))


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    handler = {"class": "logging.FileHandler", "filename": str(tmp_path)}
    with pytest.raises(ValueError) as caught:
        dictConfig({"version": 1, "incremental": False, "handlers": {"file": handler}})
    assert one_line(caught.value) == f"{tmp_path}: is a directory; check the path, its permissions and the free space"


@pytest.mark.parametrize(("text", "line"), [("q: 1\n  p: 2", 2), ("q: 1\n\tp: 2", 2), ("q: 1\np: 1\nq: 2", 3)])
def test_a_slip_in_a_yaml_names_file_and_line(text: str, line: int, tmp_path: Path) -> None:
    (path := tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(MarkedYAMLError) as caught:
        OmegaConf.load(path)
    assert re.fullmatch(f"{path}: line {line}: [a-z ]+; correct the YAML", one_line(caught.value))


def test_an_error_of_your_own_package_says_where_also_in_a_constructor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "class Mine:\n    def __init__(self, width):\n        self.width = int(width)\n"
    (tmp_path / "site-packages").mkdir()  # a package that is installed
    (tmp_path / "site-packages" / "my_part.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    monkeypatch.setenv("FOVEA_TRUSTED", "my_part")
    for width, message in {"a": "invalid literal", (): "cannot build my_part.Mine: TypeError: "}.items():
        for partly in (False, True):
            with pytest.raises(ValueError) as caught:
                instantiate({"_target_": "my_part.Mine", "width": width, "_partial_": partly}, "loss")()
            assert re.match(rf"loss: {message}.* \(my_part.py, line 3; HYDRA", one_line(caught.value))
    for key in ("", "root"):  # the error of fovea is raised as it is, also by a factory
        with pytest.raises(ValueError, match="no such folder") as caught:
            instantiate(
                {"_target_": "fovea.data.images.folder.Folder", "root": str(tmp_path / "a"), "_partial_": True}, key
            )()
        assert one_line(caught.value).endswith("holds images/")
    with pytest.raises(ValueError, match="no such folder") as caught:
        instantiate({"_target_": "fovea.data.images.folder.Folder", "root": str(tmp_path / "a")})
    assert one_line(caught.value).endswith("holds images/")
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    first.__traceback__ = second.__traceback__ = caught.value.__traceback__
    assert one_line(first) == "first"
    with pytest.raises(ValueError) as caught:
        instantiate({"_target_": "my_part.Mine"}, "loss")  # nothing of it was called
    assert one_line(caught.value).endswith("missing 1 required positional argument: 'width'")


def test_an_error_of_your_own_package_in_a_worker_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "my_work.py").write_text("def read(values):\n    return values['a']\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    monkeypatch.setenv("FOVEA_TRUSTED", "my_work")
    with pytest.raises(KeyError) as caught:
        import_module("my_work").read({})
    wrapped = ExceptionWrapper(caught._excinfo, "in DataLoader worker process 0")
    with pytest.raises(KeyError) as of_torch:
        wrapped.reraise()
    of_pool = KeyError("a")
    of_pool.__cause__ = Exception("".join(traceback.format_exception(caught.value)))  # as concurrent.futures does
    for error in (caught.value, of_torch.value, of_pool):
        assert one_line(error) == "KeyError: 'a' (my_work.py, line 2; HYDRA_FULL_ERROR=1 shows where)"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bakbone=smp", "bakbone is not a key; did you mean backbone?"),
        ("lr=1", "lr is not a key; did you mean optimizer.lr?"),
        ("cache.size=3", "cache is not a key; did you mean data.cache?"),
        ("format.unit=px", "format is not chosen: add format=… (collect, data_viewer,"),
        ("data.rooot=x", "data.rooot is not a key; did you mean data.root?"),
        ("supervision=gazee", "supervision=gazee is not a choice; did you mean supervision=gaze?"),
        ("loss.weight=ü", "loss.weight=ü: Hydra cannot read this value; write a text as 'loss.weight=\"ü\"',"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(word: str, message: str) -> None:
    command, data = ("import", []) if word.startswith("format") else ("train", ["data=folder"])
    with initialize_config_dir(str(config_folder()), version_base="1.3"), pytest.raises(HydraException) as caught:
        compose(command, overrides=[*data, word])
    assert one_line(caught.value).startswith(message)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_prints_no_traceback(capsys) -> None:
    with Path("/dev/full").open("w") as full:
        logging.StreamHandler(full).handle(logging.makeLogRecord({"msg": "lost"}))
        with suppress(OSError):
            full.close()
    assert capsys.readouterr().err == ""


def fail() -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize(("full", "expected"), [("0", SystemExit), ("1", RuntimeError)])
def test_full_error_raises(full: str, expected: type, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", full)
    with pytest.raises(expected):
        end_in_one_line("train", fail)
    assert capsys.readouterr().err.startswith("fovea-train: RuntimeError: broken") == (expected is SystemExit)


@pytest.mark.usefixtures("as_in_a_shell")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_one_line(sent: signal.Signals, tmp_path: Path, capsys) -> None:
    def start() -> None:
        with failure_recorded(tmp_path), whole_file(tmp_path / "half") as file:
            file.write(b"half")
            try:
                signal.raise_signal(sent)
            finally:
                if sent != signal.SIGINT:  # a scheduler may send more: they do not disturb what is cleaned up
                    signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        end_in_one_line("prepare", start)
    name = "" if sent == signal.SIGINT else f" by {sent.name}"
    assert (ended.value.code, capsys.readouterr().err) == (128 + sent, f"fovea-prepare: interrupted{name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["failure.json"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if sent == signal.SIGINT:  # a second Ctrl-C ends the process without a traceback
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


@pytest.mark.usefixtures("as_in_a_shell")
def test_another_process_of_a_training_leaves_signals_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The first ends it; otherwise Lightning would kill the first, since another one failed."""
    (tmp_path / "config.yaml").write_text("seed: 1")
    monkeypatch.setenv("FOVEA_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("LOCAL_RANK", "1")

    def run(config: dict[str, Any]) -> None:
        for each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(each)
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        end_in_one_line("train", Command("train", run, lambda config: None).start)
    assert (ended.value.code, capsys.readouterr().err) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (OSError(28, "Full", "x.png"), "failed", "x.png: full; check the path, its permissions and the free space"),
        (KeyboardInterrupt(), "interrupted", "Ctrl-C"),
        (KeyboardInterrupt("SIGTERM"), "interrupted", "SIGTERM"),
    ],
)
def test_the_first_reason_of_a_failure_is_in_the_run_folder(
    error: BaseException, status: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that fails takes the others along, which only know that the connection is closed."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(type(error)), failure_recorded(tmp_path):
        raise error
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(RuntimeError), failure_recorded(tmp_path):
        raise RuntimeError("Connection closed by peer")
    assert json.loads((tmp_path / "failure.json").read_text()) == {"status": status, "reason": reason}


def test_a_bar_in_a_file_is_written_twice_a_minute() -> None:
    script = "from fovea.runtime.app import end_in_one_line\n"
    script += "def start():\n    from tqdm import tqdm\n    print(tqdm(range(2)).mininterval)\n"
    script += "end_in_one_line('x', start)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "30.0\n"
