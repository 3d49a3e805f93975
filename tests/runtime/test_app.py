"""Errors as lines, and where the configuration is."""

import pytest
from omegaconf import OmegaConf
from submitit.core.utils import UncompletedJobError

from fovea.runtime.app import config_folder, one_line, resolve


def test_the_configuration_is_found() -> None:
    assert (config_folder() / "train.yaml").is_file()


def test_our_errors_are_shown_as_they_are() -> None:
    assert one_line(ValueError("mask.png is empty; draw one")) == "mask.png is empty; draw one"


def test_the_traceback_of_a_loader_worker_is_taken_off() -> None:
    text = (
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\nfovea.runtime.errors.ValueError: cannot decode a.jpg: truncated; replace it\n'
    )
    assert one_line(ValueError(text)) == "cannot decode a.jpg: truncated; replace it"


@pytest.mark.parametrize("error", [ValueError("two\nlines"), KeyError("k"), OSError(28, "No space left", "x.png")])
def test_every_other_error_is_one_line_too(error: Exception) -> None:
    assert "\n" not in one_line(error)
    assert len(one_line(error)) > 5


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"^data.root is not given: add data.root=… to the command line$"):
        resolve(OmegaConf.create({"data": {"root": "???"}}))


def test_a_job_that_was_killed_is_named_with_its_state_and_log() -> None:
    error = UncompletedJobError(
        "Job 4_1 (task: 0) with path /s/.submitit/4_1/4_1_0_result.pkl\n"
        "has not produced any output (state: OUT_OF_MEMORY)\nError stream produced:\n-----\nslurmstepd: oom-kill"
    )
    line = "job 4_1 ended without a result, state OUT_OF_MEMORY; see /s/.submitit/4_1/4_1_0_log.err, and sacct -j 4_1"
    assert one_line(error) == line
