"""What a worker of dask is ended for, its photograph is tried for here, where the limits of packing hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from packing_helpers import DEADLY, greedy, photographs, recipe
from prebake.packing import pack

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (the extra `cluster`)")


@pytest.mark.slow
def test_a_photograph_that_dask_ends_workers_for_is_named_and_costs_no_other(tmp_path: Path) -> None:
    source = photographs(tmp_path / "photos", [1, 2, 3, DEADLY, 4, 5])
    options = {"recipe": recipe(greedy), "codec": "raw", "on_error": "skip", "memory_limit": 0.8}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit="700MB"
    ) as made:
        packed = pack(source, tmp_path / "out.h5", scheduler=made.scheduler_address, **options)
    assert packed.ids == ["p001", "p002", "p003", "p004", "p005"]
    assert [failure.id for failure in packed.failures] == ["p255"]
    assert packed.failures[0].reason == "it took more memory than the limit of 800.0 MB"
