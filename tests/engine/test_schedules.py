"""Values over training."""

import pytest

from leopart_mm.engine.schedules import cosine_value


def test_half_a_cosine():
    assert cosine_value(1., 3., 0, 10) == 1.
    assert cosine_value(1., 3., 5, 10) == pytest.approx(2.)
    assert cosine_value(0.04, 0.4, 7, 21) == pytest.approx(0.04 + 0.36 * 0.25)
    assert cosine_value(1., 3., 10, 10) == cosine_value(1., 3., 99, 10) == 3.
    assert cosine_value(1., 3., 0, 0) == 3.
