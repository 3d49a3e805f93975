import math

import pytest

from fovea.supervision.ramps import ramp_down, ramp_up


def test_published_ramps() -> None:
    assert ramp_up(0.0) == pytest.approx(math.exp(-5))
    assert ramp_up(0.5) == pytest.approx(math.exp(-1.25))
    assert ramp_up(1.0) == 1
    assert ramp_down(0.0) == 1
    assert ramp_down(0.5) == pytest.approx(0.5)
    assert ramp_down(1.0) == pytest.approx(0)
