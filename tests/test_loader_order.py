"""The quasi-random order, and what the disk is asked for ahead."""

from __future__ import annotations

import itertools
import mmap
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from loader_helpers import SIZE, make_pack
from prebake.errors import OptionError
from prebake.loader import Loader, QuasiRandom, ahead
from prebake.loader.order import quasi_shuffled, shuffled
from prebake.store import Pack
from prebake.store.reader import stretches

COUNT = 52
QUASI = QuasiRandom(block=4, window=3)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack.h5", COUNT)


def taken(loader: Loader) -> list[list[int]]:
    return [batch[-1].tolist() for batch in loader]


def flat(lists: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


# ------------------------------------------------------------------ the order


@pytest.mark.parametrize("count", [0, 1, 7, 100, 101])
@pytest.mark.parametrize("quasi", [QuasiRandom(1, 1), QuasiRandom(4, 3), QuasiRandom(1000, 2), QuasiRandom(2, 1000)])
def test_every_row_comes_exactly_once(count, quasi):
    order, ends = quasi_shuffled(np.arange(count), 5, 2, quasi)
    assert sorted(order.tolist()) == list(range(count))
    assert (ends[-1] if count else len(order)) == count


def test_a_window_holds_whole_blocks_and_no_more_of_them_than_it_says():
    order, ends = quasi_shuffled(np.arange(1000), 0, 0, QuasiRandom(block=10, window=8))
    assert ends.tolist() == [*range(80, 1000, 80), 1000]
    for window in np.split(order, ends[:-1]):
        blocks, counts = np.unique(window // 10, return_counts=True)
        assert (counts == 10).all()
        assert len(blocks) <= 8


def test_blocks_and_the_rows_of_a_window_are_in_random_order():
    order, ends = quasi_shuffled(np.arange(10_000), 0, 0, QuasiRandom(block=10, window=100))
    first = order[: ends[0]]
    assert abs(np.corrcoef(first, np.arange(len(first)))[0, 1]) < 0.15
    assert first.max() - first.min() > 9000  # blocks from everywhere
    assert (np.abs(np.diff(first)) < 10).mean() < 0.05  # neighbours in the file are not neighbours here


def test_seed_and_epoch_decide_the_order_which_stays_what_it_was_in_earlier_versions():
    rows = np.arange(1000)
    one = quasi_shuffled(rows, 1, 0, QUASI)[0]
    np.testing.assert_array_equal(one, quasi_shuffled(rows, 1, 0, QUASI)[0])
    for seed, epoch in ((1, 1), (2, 0)):
        assert (one == quasi_shuffled(rows, seed, epoch, QUASI)[0]).sum() < 20
    order, ends = quasi_shuffled(np.arange(12), 0, 0, QuasiRandom(block=2, window=3))
    assert (order.tolist(), ends.tolist()) == ([11, 10, 8, 7, 6, 9, 2, 4, 0, 5, 3, 1], [6, 12])


def test_with_one_window_it_is_the_random_order():
    rows = np.arange(100)

    np.testing.assert_array_equal(quasi_shuffled(rows, 3, 4, QuasiRandom(5, 20))[0], shuffled(rows, 3, 4))


def test_it_works_on_some_of_the_rows_in_any_order():
    some = np.array([90, 3, 14, 15, 92, 65])
    order, ends = quasi_shuffled(some, 0, 0, QuasiRandom(block=10, window=2))
    assert sorted(order.tolist()) == sorted(some.tolist())
    assert [len({row // 10 for row in window}) for window in np.split(order, ends[:-1]) if len(window)] == [2, 2]


def test_numbers_below_one_are_refused():
    for wrong in ({"block": 0}, {"window": 0}):
        with pytest.raises(OptionError, match="quasi-random"):
            QuasiRandom(**wrong)


# ------------------------------------------------------------------ in the loader


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_take_the_steps_of_a_single_process(path, world_size):
    single = taken(Loader(path, 8, shuffle=QUASI, with_rows=True))
    assert sorted(flat(single)) == list(range(COUNT))
    ranks = [
        Loader(path, 8 // world_size, shuffle=QUASI, with_rows=True, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    together = [flat(step) for step in zip(*(taken(loader) for loader in ranks), strict=True)]
    assert together == single


def test_a_resumed_epoch_has_exactly_the_batches_that_were_left(path):
    loader = Loader(path, 4, shuffle=QUASI, seed=9, with_rows=True)
    loader.set_epoch(3)
    whole = taken(loader)
    loader.set_epoch(3)
    iteration = iter(loader)
    for _ in range(5):
        next(iteration)
    state = loader.state_dict()
    assert {type(value) for value in state.values()} <= {int, str, bool}
    resumed = Loader(path, 4, shuffle=QuasiRandom(block=4, window=3), seed=9, with_rows=True, threads=3)
    resumed.load_state_dict(state)
    assert taken(resumed) == whole[5:]


def test_a_state_of_another_order_is_refused(path):
    state = Loader(path, shuffle=QUASI).state_dict()
    for other in (True, False, QuasiRandom(block=4, window=4), QuasiRandom(block=5, window=3)):
        with pytest.raises(OptionError, match="another shuffle"):
            Loader(path, shuffle=other).load_state_dict(state)


# ------------------------------------------------------------------ read-ahead


@pytest.mark.parametrize("shuffle", [False, True, QUASI])
def test_once_the_disk_is_read_every_row_is_asked_for_once_before_it_is_read(path, shuffle, monkeypatch):
    asked: list[int] = []
    read: list[tuple[set[int], set[int]]] = []
    monkeypatch.setattr(ahead, "_fetched", itertools.count().__next__)  # every reading reads from the disk
    monkeypatch.setattr(Pack, "advise", lambda pack, rows: asked.extend(rows.tolist()))
    plain = Pack.read
    monkeypatch.setattr(
        Pack, "read", lambda pack, rows, out: (read.append((set(rows.tolist()), set(asked))), plain(pack, rows, out))
    )
    loader = Loader(path, 2, shuffle=shuffle, with_rows=True, threads=1, prefetch=1)
    batches = taken(loader)
    assert sorted(flat(batches)) == list(range(COUNT))
    assert len(asked) == len(set(asked))
    assert sorted(asked) == list(range(COUNT))
    assert all(rows <= before for rows, before in read)
    asked_before = [len(before) for _, before in read]
    assert asked_before[0] == 2
    assert asked_before[2] in (24, 32)  # two windows of 12 rows, or twice 8 batches


def test_of_a_pack_in_memory_only_the_first_batch_is_asked_for(path, monkeypatch):
    asked = []
    monkeypatch.setattr(ahead, "_fetched", lambda: 0)
    monkeypatch.setattr(Pack, "advise", lambda pack, rows: asked.append(rows.tolist()))
    batches = taken(Loader(path, 2, shuffle=True, with_rows=True))
    assert asked == batches[:1]


def test_a_part_of_an_epoch_on_one_rank_asks_for_the_rows_of_that_rank(path, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(ahead, "_fetched", itertools.count().__next__)
    monkeypatch.setattr(Pack, "advise", lambda pack, rows: asked.extend(rows.tolist()))
    loader = Loader(path, 2, shuffle=True, with_rows=True, rank=1, world_size=2, threads=1)
    loader.load_state_dict({**loader.state_dict(), "offset": 12})
    rows = taken(loader)
    assert sorted(asked) == sorted(flat(rows))


def test_threads_that_read_the_same_batch_ask_once():
    asked: list[int] = []
    steps = [np.arange(2 * number, 2 * number + 2) for number in range(6)]
    reading = ahead.ReadAhead(lambda rows: asked.extend(rows.tolist()), steps, [6] * 6)
    reading._cold = True

    def read() -> None:
        with reading.reading(0):
            pass

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == list(range(12))


def test_the_system_is_asked_for_the_bytes_of_the_images(path, monkeypatch):
    asked = []

    class Mapped:
        def madvise(self, option: int, start: int, length: int) -> None:
            assert option == mmap.MADV_WILLNEED
            asked.append((start, start + length))

    monkeypatch.setattr(Pack, "_mapped", Mapped())
    pack, rows = Pack(path), np.array([40, 3, 2, 4])
    pack.advise(rows)
    offsets, nbytes = pack._structure.offsets, SIZE * SIZE * 3
    assert len(asked) == 2
    assert all(start % mmap.PAGESIZE == 0 for start, _ in asked)
    assert [stop for _, stop in asked] == [offsets[4] + nbytes, offsets[40] + nbytes]
    assert all(any(a <= offsets[row] and offsets[row] + nbytes <= b for a, b in asked) for row in rows)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_advice_changes_nothing_that_is_read(tmp_path, codec):
    pack = Pack(make_pack(tmp_path / "pack.h5", 9, codec=codec))
    before = pack.read(range(9))
    for rows in ([], [4], [8, 0, 1, 2]):
        pack.advise(np.array(rows, np.int64))
    np.testing.assert_array_equal(pack.read(range(9)), before)


def test_several_packs_are_each_asked_for_their_own_rows(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Pack, "advise", lambda pack, rows: asked.append((pack.name, rows.tolist())))
    loader = Loader([make_pack(tmp_path / "a.h5", 7), make_pack(tmp_path / "b.h5", 5, first=100)])
    loader._packs.advise(np.array([8, 0, 11, 6]))
    assert asked == [("a", [0, 6]), ("b", [1, 4])]


def test_images_side_by_side_are_one_stretch():
    nbytes = SIZE * SIZE * 3
    offsets = 4096 + nbytes * np.array([20, 3, 2, 1, 0])
    assert stretches(offsets, np.full(5, nbytes)) == [(4096, 4096 + 4 * nbytes), (16384, 4096 + 21 * nbytes)]
