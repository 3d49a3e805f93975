"""Compilation by Numba is said before it starts, and not once it is done."""

import logging

import pytest

from fovea.runtime.compiled import announce, compiled


def test_a_first_call_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    def double(value: int) -> int:
        return 2 * value

    function = compiled(inline="never")(double)
    with caplog.at_level(logging.INFO):
        announce(function, "refine=lattice")
        assert function(2) == 4
        announce(function, "refine=lattice")
    assert [record.message.partition(",")[0] for record in caplog.records] == ["refine=lattice: compiling with Numba"]
