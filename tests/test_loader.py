"""The Loader: order, ranks, resuming, memory, threads, processes, Lightning."""

from __future__ import annotations

import gc
import itertools
import mmap
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from loader_helpers import SIZE, damage, make_pack, numbers  # noqa: E402
from prebake.augment import Augment  # noqa: E402
from prebake.errors import MissingExtra, OptionError, PackDamaged, PackError, PrebakeError, RecipeMismatch  # noqa: E402
from prebake.loader import Loader  # noqa: E402
from prebake.loader.order import rank_share, shuffled, step_bounds  # noqa: E402
from prebake.recipe import Recipe  # noqa: E402
from prebake.store import Pack  # noqa: E402

COUNT = 37
AUGMENT = Augment.kernel((128, 128, 128), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack.h5", COUNT)


def taken(loader: Loader) -> list[list[int]]:
    """The rows of every batch of one epoch."""
    return [batch[-1].tolist() for batch in loader]


def flat(lists: Iterable[list]) -> list:
    return list(itertools.chain.from_iterable(lists))


def rows_of(path: Path, batch_size: int = 4, **options: object) -> Loader:
    return Loader(path, batch_size, with_rows=True, **options)


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prebake-loader")]


# ------------------------------------------------------------------ what batches hold


@pytest.mark.parametrize("codec", ["raw", "gzip", "zstd"])
def test_without_augmentation_batches_are_the_images_of_the_pack(tmp_path, codec):
    pack = Pack(make_pack(tmp_path / "pack.h5", 10, codec=codec))
    images, labels = zip(*Loader(pack, 4), strict=True)
    assert [tuple(batch.shape) for batch in images] == [(4, SIZE, SIZE, 3)] * 2 + [(2, SIZE, SIZE, 3)]
    assert images[0].dtype == torch.uint8
    assert labels[0].dtype == torch.float32
    np.testing.assert_array_equal(torch.cat(images), pack.read(range(10)))
    np.testing.assert_array_equal(torch.cat(labels), pack.labels)
    assert torch.cat(labels).isnan().nonzero().flatten().tolist() == [4, 9]


@pytest.mark.parametrize("channels_last", [False, True])
def test_with_augmentation_every_image_is_what_augment_makes_of_it(path, channels_last):
    pack = Pack(path)
    loader = rows_of(path, augment=AUGMENT, shuffle=True, seed=3, channels_last=channels_last)
    loader.set_epoch(2)
    for images, _, rows in loader:
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last) == channels_last
        matrices = AUGMENT.parameters(3, 2, rows.numpy(), pack.shape)
        for image, row, matrix in zip(images, rows, matrices, strict=True):
            expected = np.empty((3, SIZE, SIZE), np.float32)
            AUGMENT.apply_numpy(pack[int(row)], matrix, expected)
            np.testing.assert_array_equal(image, expected)


def test_left_to_the_device_augmentation_agrees_with_that_of_the_threads(path):
    here = Loader(path, 8, augment=AUGMENT, shuffle=True)
    there = Loader(path, 8, augment=AUGMENT, shuffle=True, device_augment=True, with_rows=True)
    for (images, labels), (raw, same, matrices, rows) in zip(here, there, strict=True):
        assert raw.dtype == torch.uint8
        assert numbers(raw) == rows.tolist()
        torch.testing.assert_close(labels, same, equal_nan=True)
        torch.testing.assert_close(AUGMENT.apply_torch(raw, matrices), images, rtol=0, atol=0.05 / 255 / 0.2)


def test_rows_and_ids_tell_what_is_in_a_batch(tmp_path):
    paths = [make_pack(tmp_path / "a.h5", 7), make_pack(tmp_path / "b.h5", 5, first=100)]
    loader = Loader(paths, 4, shuffle=True, with_rows=True)
    found = {}
    for images, _, rows in loader:
        assert loader.ids(rows) == [f"img{number}" for number in numbers(images)]
        found |= dict(zip(rows.tolist(), loader.ids(rows), strict=True))
    assert found == {row: f"img{row if row < 7 else 100 + row - 7}" for row in range(12)}


def test_several_packs_are_shuffled_as_one(tmp_path):
    paths = [make_pack(tmp_path / "a.h5", 40), make_pack(tmp_path / "b.h5", 30, first=40, codec="gzip")]
    loader = Loader(paths, 10, shuffle=True)
    batches = [numbers(images) for images, _ in loader]
    assert sorted(flat(batches)) == list(range(70))
    assert all(min(batch) < 40 <= max(batch) for batch in batches)


def test_packs_of_different_recipes_are_refused_and_both_are_shown(tmp_path, path):
    other = make_pack(tmp_path / "other.h5", 3, recipe=Recipe.named("crop", SIZE))
    with pytest.raises(RecipeMismatch, match=r"(?s)kernel.*crop"):
        Loader([path, other])


def test_packs_of_different_sizes_are_refused(tmp_path, path):
    other = make_pack(tmp_path / "other.h5", 3, recipe=Recipe.named("kernel", 32))
    with pytest.raises((RecipeMismatch, PackError), match=r"32"):
        Loader([path, other])


# ------------------------------------------------------------------ order


def test_the_order_is_a_permutation_that_seed_and_epoch_decide():
    rows = np.arange(1000)
    one = shuffled(rows, 1, 0)
    assert sorted(one.tolist()) == rows.tolist()
    np.testing.assert_array_equal(one, shuffled(rows, 1, 0))
    for other in (shuffled(rows, 1, 1), shuffled(rows, 2, 0), rows):
        assert (one == other).sum() < 20


def test_the_order_stays_what_it_was_in_earlier_versions():
    assert shuffled(np.arange(6), seed=0, epoch=1).tolist() == [2, 1, 4, 5, 3, 0]


def test_every_row_is_equally_likely_at_every_place():
    places = np.array([np.argsort(shuffled(np.arange(10), seed, 0)) for seed in range(2000)])
    counts = np.array([np.bincount(column, minlength=10) for column in places.T])
    assert ((counts - 200) ** 2 / 200).sum() < 147  # chi-squared, about 90 degrees of freedom, p = 0.0001


def test_leaving_rows_out_does_not_change_the_order_of_the_others():
    some = np.array([3, 14, 15, 92, 65])
    whole = shuffled(np.arange(100), 0, 0)
    np.testing.assert_array_equal(shuffled(some, 0, 0), whole[np.isin(whole, some)])


def test_batches_are_the_same_for_any_number_of_threads(path):
    epochs = [
        [tuple(part.clone() for part in batch) for batch in rows_of(path, shuffle=True, augment=AUGMENT, **options)]
        for options in ({"threads": 1, "prefetch": 1}, {"threads": 2}, {"threads": 5, "prefetch": 9})
    ]
    for other in epochs[1:]:
        for batch, same in zip(epochs[0], other, strict=True):
            for one, two in zip(batch, same, strict=True):
                assert torch.equal(one, two) or torch.equal(one.isnan(), two.isnan())


def test_each_epoch_has_its_own_order_and_set_epoch_chooses(path):
    loader = rows_of(path, shuffle=True)
    first, second = taken(loader), taken(loader)
    assert first != second
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(COUNT))
    loader.set_epoch(0)
    assert taken(loader) == first
    assert taken(loader) == second


def test_asking_for_an_iterator_without_using_it_is_no_epoch(path):
    loader = rows_of(path, shuffle=True)
    iter(loader)
    iter(loader)
    assert taken(loader) == taken(rows_of(path, shuffle=True))


def test_a_new_iteration_after_a_break_is_the_next_epoch(path):
    loader, same = rows_of(path, shuffle=True), rows_of(path, shuffle=True)
    next(iter(loader))
    taken(same)
    assert taken(loader) == taken(same)


def test_only_the_rows_that_are_asked_for_are_delivered(path):
    mask = np.arange(COUNT) % 3 == 0
    chosen = np.flatnonzero(mask)
    assert flat(taken(rows_of(path, rows=chosen[::-1].copy()))) == chosen[::-1].tolist()
    loader = rows_of(path, rows=mask, shuffle=True)
    assert sorted(flat(taken(loader))) == chosen.tolist()
    np.testing.assert_array_equal(loader.labels, Pack(path).labels[mask])


@pytest.mark.parametrize("rows", [[0, 0], [COUNT], [-1], [0.5], np.ones(3, bool), [[1]]])
def test_rows_that_make_no_sense_are_refused(path, rows):
    with pytest.raises(OptionError, match="rows"):
        Loader(path, rows=rows)


def test_no_rows_are_no_batches(path):
    loader = Loader(path, rows=[])
    assert len(loader) == 0
    assert list(loader) == []


# ------------------------------------------------------------------ steps and ranks


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [4, 5, 8, 11, 12, 36, 37])
def test_every_row_goes_to_exactly_one_rank_in_equally_many_steps(world_size, batch_size, count):
    bounds = step_bounds(0, count, batch_size, world_size, drop_last=False)
    found: list[int] = []
    for start, stop in itertools.pairwise(bounds):
        shares = [list(range(count)[rank_share(start, stop, rank, world_size)]) for rank in range(world_size)]
        sizes = [len(share) for share in shares]
        assert min(sizes) >= 1
        assert max(sizes) <= batch_size + (world_size > 1)
        assert max(sizes) - min(sizes) <= 1
        found += flat(shares)
    assert found == list(range(count))
    dropped = step_bounds(0, count, batch_size, world_size, drop_last=True)
    assert max(0, len(dropped) - 1) == count // (batch_size * world_size)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_take_the_steps_of_a_single_process(path, world_size):
    single = taken(rows_of(path, 8, shuffle=True))
    ranks = [rows_of(path, 8 // world_size, shuffle=True, rank=r, world_size=world_size) for r in range(world_size)]
    assert {len(loader) for loader in ranks} == {len(single)}
    together = [flat(step) for step in zip(*(taken(loader) for loader in ranks), strict=True)]
    assert together == single


def test_a_last_step_too_small_for_all_ranks_joins_the_one_before(path):
    ranks = [rows_of(path, 3, rank=rank, world_size=4) for rank in range(4)]  # 37 = 3 * 12 + 1
    epochs = [taken(loader) for loader in ranks]
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[3, 3, 4], [3, 3, 3], [3, 3, 3], [3, 3, 3]]
    assert sorted(flat(flat(epochs))) == list(range(COUNT))


def test_drop_last_leaves_only_whole_batches(path):
    assert [len(batch) for batch in taken(rows_of(path, 8, drop_last=True))] == [8] * 4
    assert len(rows_of(path, 8, drop_last=True)) == 4


def test_fewer_rows_than_ranks_are_refused(path):
    with pytest.raises(OptionError, match="fewer rows than ranks"):
        Loader(path, rows=[1, 2], rank=0, world_size=3)


# ------------------------------------------------------------------ resuming


@pytest.mark.parametrize("done", [0, 1, 4, 9, 10])
def test_a_resumed_epoch_has_exactly_the_batches_that_were_left(path, done):
    options = {"shuffle": True, "augment": AUGMENT, "seed": 9}
    undisturbed = rows_of(path, **options)
    batches = [tuple(part.clone() for part in batch) for _ in range(4) for batch in undisturbed]

    loader = rows_of(path, **options)
    taken(loader)
    iteration = iter(loader)
    for _ in range(done):
        next(iteration)
    time.sleep(0.02)  # meanwhile batches are prepared ahead, which must not count
    state = pickle.loads(pickle.dumps(loader.state_dict()))

    resumed = rows_of(path, threads=3, **options)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    again = [*resumed, *resumed]
    assert len(again) == 20 - done % 10
    for batch, same in zip(again, batches[10 + done :], strict=False):
        assert torch.equal(batch[-1], same[-1])
        assert torch.equal(batch[0], same[0])


def test_a_state_is_plain_numbers_and_text(path):
    loader = rows_of(path, shuffle=True)
    next(iter(loader))
    assert {type(value) for value in loader.state_dict().values()} <= {int, str, bool}


def test_a_finished_epoch_resumes_with_the_next(path):
    loader = rows_of(path, shuffle=True)
    iteration = iter(loader)
    for _ in range(len(loader)):
        next(iteration)
    assert (loader.state_dict()["epoch"], loader.state_dict()["offset"]) == (1, 0)
    assert list(iteration) == []
    assert (loader.state_dict()["epoch"], loader.state_dict()["offset"]) == (1, 0)
    assert len(taken(loader)) == 10


def test_set_epoch_keeps_a_position_of_that_epoch_and_leaves_one_of_another(path):
    loader = rows_of(path, shuffle=True)
    iteration = iter(loader)
    next(iteration)
    state = loader.state_dict()
    left = [batch[-1].tolist() for batch in iteration]
    loader.load_state_dict(state)
    loader.set_epoch(0)
    assert taken(loader) == left
    loader.load_state_dict(state)
    loader.set_epoch(1)
    assert len(taken(loader)) == 10


def test_an_epoch_resumes_with_another_number_of_ranks(path):
    ranks = [rows_of(path, 4, shuffle=True, rank=rank, world_size=2) for rank in range(2)]
    iterations = [iter(loader) for loader in ranks]
    seen = flat(next(iteration)[-1].tolist() for iteration in iterations)
    states = [loader.state_dict() for loader in ranks]
    assert states[0] == states[1]
    more = [rows_of(path, 3, shuffle=True, rank=rank, world_size=3) for rank in range(3)]
    for loader in more:
        loader.load_state_dict(states[0])
        seen += flat(taken(loader))
    assert sorted(seen) == list(range(COUNT))


def test_a_state_of_other_rows_or_another_seed_is_refused(path):
    state = rows_of(path, seed=1).state_dict()
    for options in ({"seed": 2}, {"seed": 1, "shuffle": True}, {"seed": 1, "rows": [1, 2]}):
        with pytest.raises(OptionError, match="another"):
            rows_of(path, **options).load_state_dict(state)


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("augment", [None, AUGMENT])
def test_batches_begin_where_a_page_does(path, augment):
    starts = [images.data_ptr() % mmap.PAGESIZE for images, *_ in rows_of(path, augment=augment, pin_memory=False)]
    assert starts
    assert not any(starts)


def test_batches_that_are_kept_are_never_overwritten(path):
    loader = rows_of(path, threads=2, shuffle=True)
    kept = [(images, numbers(images.clone())) for _ in range(3) for images, *_ in loader]
    assert all(numbers(images) == before for images, before in kept)


def test_a_part_of_a_batch_keeps_its_memory_too(path):
    loader = rows_of(path, threads=1, prefetch=1)
    parts = [images.numpy()[1:2] if i % 2 else images[1:2] for i, (images, *_) in enumerate(loader)]
    taken(loader)
    assert flat(numbers(part) for part in parts) == list(range(1, COUNT, 4))


def test_memory_that_was_let_go_of_is_used_again(path):
    loader = rows_of(path, threads=1, prefetch=1)
    places = {images.data_ptr() for _ in range(5) for images, *_ in loader}
    assert len(places) <= 4


# ------------------------------------------------------------------ threads and processes


def test_a_damaged_image_stops_the_consumer_and_is_named(tmp_path):
    path = make_pack(tmp_path / "pack.h5", 20, codec="gzip")
    damage(path, 13)
    for options in ({}, {"augment": AUGMENT}):
        loader = Loader(path, 4, **options)
        seen = []
        with pytest.raises(PackDamaged, match="img13") as caught:
            seen.extend(len(labels) for _, labels in loader)
        assert "img13" in caught.value.ids
        assert seen == [4, 4, 4]
        del caught
        gc.collect()
    assert loader_threads() == []


def test_no_thread_is_left_after_the_end_a_break_a_close_or_collection(path):
    loader = rows_of(path, threads=2)
    taken(loader)
    assert loader_threads() == []
    for _ in loader:
        break
    assert loader_threads() == []
    iteration = iter(loader)
    next(iteration)
    assert len(loader_threads()) > 0
    loader.close()
    assert loader_threads() == []
    with rows_of(path) as other:
        going_on = iter(other)
        next(going_on)
    assert loader_threads() == []
    abandoned = iter(rows_of(path))
    next(abandoned)
    del abandoned
    gc.collect()
    assert loader_threads() == []


def test_no_thread_waits_on_a_consumer_that_stops_at_the_last_batch(path):
    loader = rows_of(path, threads=2)
    iteration = iter(loader)
    for _ in range(len(loader)):
        next(iteration)
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader_threads() == []


def test_a_program_that_ends_in_the_middle_of_an_epoch_ends(path):
    code = f"from prebake.loader import Loader\niteration = iter(Loader({str(path)!r}, 2))\nnext(iteration)\n"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_a_new_iteration_works_and_an_old_one_says_why_it_does_not(path):
    loader = rows_of(path, threads=2, shuffle=True)
    iteration = iter(loader)
    next(iteration)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def child() -> None:
        try:
            next(iteration)
        except PrebakeError as error:
            queue.put(str(error))
        queue.put(taken(loader))

    process = context.Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert "another process" in queue.get()
    same = rows_of(path, shuffle=True)
    same.set_epoch(1)
    assert queue.get() == taken(same)
    assert len(list(iteration)) == 9


def test_a_pickled_loader_goes_on_as_the_original_would(path):
    loader = rows_of(path, shuffle=True, seed=4)
    next(iter(loader))
    copy = pickle.loads(pickle.dumps(loader))
    assert taken(copy) == taken(loader)


def test_without_torch_the_loader_says_what_to_install(path):
    code = f"""
import sys
sys.modules["torch"] = None
from prebake.errors import MissingExtra
from prebake.loader import Loader, PackDataset
image, label = PackDataset({str(path)!r})[3]
print(image.shape, label)
try:
    Loader({str(path)!r})
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, env=_environment(), capture_output=True, text=True
    )
    assert f"({SIZE}, {SIZE}, 3) 3.0" in done.stdout
    assert "prebake[train]" in done.stdout
    assert issubclass(MissingExtra, PrebakeError)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"rank": 1}, {"world_size": 0}, {"threads": 0}, {"prefetch": 0}, {"seed": -1},
     {"device_augment": True}, {"augment": Augment.none((0.5,), (0.5,))}],
)  # fmt: skip
def test_options_that_cannot_be_used_are_refused(path, options):
    with pytest.raises(OptionError, match="loader"):
        Loader(path, **options)
