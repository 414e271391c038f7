"""The draws are those of a bootstrap of groups, whatever the chunks they come in."""

from __future__ import annotations

import numpy as np
import pytest

from prebake.errors import OptionError
from prebake.metrics import Bootstrap, draws
from prebake.metrics.draws import members


@pytest.mark.parametrize("times", [[1] * 40, [30, 6, 4, 0]])
def test_every_draw_has_as_many_groups_as_there_are(times):
    times = np.array(times)
    drawn = np.concatenate(list(Bootstrap(samples=4000).weights(times)))
    assert drawn.shape == (4000, len(times))
    assert (drawn.sum(axis=1) == 40).all()
    np.testing.assert_allclose(drawn.mean(axis=0), times, atol=0.2)
    np.testing.assert_allclose(drawn.var(axis=0), times * (1 - times / 40), atol=0.5)


@pytest.mark.parametrize("times", [[1] * 37, [20, 10, 7]])
def test_the_size_of_chunks_changes_nothing(times, monkeypatch):
    times = np.array(times)
    whole = np.concatenate(list(Bootstrap(samples=50).weights(times)))
    monkeypatch.setattr(draws, "CELLS", 3 * 37)
    pieces = list(Bootstrap(samples=50).weights(times, width=37))
    assert [len(piece) for piece in pieces][:2] == [3, 3]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_memory_of_a_chunk_is_bounded_with_many_groups():
    first = next(Bootstrap().weights(np.ones(100_000, dtype=np.int64), width=200_000))
    assert first.size * 2 <= max(draws.CELLS, 200_000)


def test_the_seed_decides():
    once, again, other = (next(Bootstrap(samples=5, seed=s).weights(np.ones(9, dtype=int))) for s in (0, 0, 1))
    assert (once == again).all()
    assert (once != other).any()


def test_ends_are_percentiles_of_what_is_defined():
    values = np.arange(101.0)
    assert Bootstrap(level=0.9).ends(values) == pytest.approx((5, 95))
    assert Bootstrap(level=0.9).ends(np.append(values, [np.nan] * 100)) == pytest.approx((5, 95))
    assert np.isnan(Bootstrap().ends(np.append(values, [np.nan] * 102))).all()


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 95}, {"samples": 0}])
def test_what_is_no_interval_is_refused(wrong):
    with pytest.raises(OptionError, match="interval"):
        Bootstrap(**wrong)


def test_rows_without_a_group_stand_alone():
    assert len(set(members(["", "", "x", "x", "0"], 5).tolist())) == 4
    assert members(None, 3).tolist() == members((), 3).tolist() == [0, 1, 2]
    with pytest.raises(OptionError, match="3 groups"):
        members(["a"], 3)
