from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prebake.errors import PackError
from prebake.store import CODECS, Pack, open_pack, summary, verify_pack
from store.packs import FAILURES, RECIPE, images, kernel_2019, row, write

codecs = pytest.mark.parametrize("codec", CODECS)
PIXELS = images(12)


@pytest.fixture(params=[*CODECS, "kernel2019", "hdf5"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Pack:
    """The same images in every way they can be stored."""
    path, kind = tmp_path / "p.h5", request.param
    if kind in CODECS:
        return Pack(write(path, PIXELS, kind))
    return Pack(kernel_2019(path, PIXELS, **({"chunks": (5, 4, 8, 1)} if kind == "hdf5" else {})))


def test_every_way_of_reading_gives_the_images(pack: Pack) -> None:
    assert len(pack) == 12
    assert (pack.read(range(12)) == PIXELS).all()
    assert (pack[7] == PIXELS[7]).all()
    assert (pack[-1] == PIXELS[-1]).all()
    assert (pack[np.int64(3)] == PIXELS[3]).all()
    assert (pack[pack.ids[5]] == PIXELS[5]).all()
    assert (np.stack(list(pack)) == PIXELS).all()
    out = np.empty((8, 8, 3), np.uint8)
    pack.read_into(4, out)
    assert (out == PIXELS[4]).all()


def test_positions_are_lists_arrays_slices_and_masks(pack: Pack) -> None:
    assert (pack.read([3, -1, 3, 0]) == PIXELS[[3, 11, 3, 0]]).all()
    assert (pack.read(slice(10, 2, -3)) == PIXELS[10:2:-3]).all()
    assert (pack.read(np.arange(12) % 2 == 1) == PIXELS[1::2]).all()
    assert (pack.read(np.array([5], np.uint8)) == PIXELS[[5]]).all()
    assert pack.read([]).shape == (0, 8, 8, 3)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(positions=st.lists(st.integers(-12, 11), max_size=20))
def test_any_positions_read_as_numpy_would(pack: Pack, positions: list[int]) -> None:
    assert (pack.read(positions) == PIXELS[np.array(positions, np.intp)]).all()


def test_reading_fills_the_buffer_that_is_given(pack: Pack) -> None:
    out = np.full((4, 8, 8, 3), 9, np.uint8)
    assert pack.read([1, 2], out=out[1:3]).base is out
    assert (out[1:3] == PIXELS[1:3]).all()
    assert (out[[0, 3]] == 9).all()


def test_positions_that_are_not_there_are_refused(pack: Pack) -> None:
    for wrong in (12, -13, 10**30):
        with pytest.raises(IndexError, match="there are 12"):
            pack[wrong]
    for wrong in ([0, 12], [-13], [2**63 - 1]):
        with pytest.raises(IndexError, match="there are 12"):
            pack.read(wrong)
    with pytest.raises(IndexError, match="mask of 3"):
        pack.read(np.ones(3, bool))
    for wrong in ([0.5], ["a"], [[1]], 3):
        with pytest.raises(TypeError):
            pack.read(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pack[0.5]  # type: ignore[index]


def test_a_buffer_that_does_not_fit_is_refused(pack: Pack) -> None:
    frozen = np.empty((1, 8, 8, 3), np.uint8)
    frozen.flags.writeable = False
    wrong = [
        np.empty((2, 8, 8, 3), np.uint8),
        np.empty((1, 8, 8, 3), np.int8),
        np.empty((1, 8, 16, 3), np.uint8)[:, :, ::2],
        frozen,
        bytearray(192),
    ]
    for out in wrong:
        with pytest.raises(PackError, match="out does not fit"):
            pack.read([0], out=out)  # type: ignore[arg-type]
    with pytest.raises(PackError, match="out does not fit"):
        pack.read_into(0, np.empty((8, 8), np.uint8))


def test_threads_read_the_same_pack_at_once(pack: Pack) -> None:
    order = np.random.default_rng(1).integers(0, 12, 150)

    def right(i: int) -> bool:
        return bool((pack.read([i, -1])[0] == PIXELS[i]).all() and (pack[int(i)] == PIXELS[i]).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(right, order))


def _all_right(pack: Pack) -> bool:
    return bool((pack.read(range(12)) == PIXELS).all() and pack.index_of(pack.ids[3]) == 3)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_reads_while_its_parent_does(pack: Pack) -> None:
    assert _all_right(pack)
    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(_all_right, pack) for _ in range(20)]
        for _ in range(4):
            child = os.fork()
            if child == 0:
                os._exit(0 if _all_right(pack) else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert all(future.result() for future in busy)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pack_goes_to_another_process(tmp_path: Path, method: str) -> None:
    pack = Pack(write(tmp_path / "p.h5", PIXELS, "zstd"))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        assert pool.submit(_all_right, pack).result()


def test_a_pickled_pack_is_hardly_more_than_its_path(pack: Pack) -> None:
    pack.read([0])
    data = pickle.dumps(pack)
    assert len(data) < len(str(pack.path)) + 200
    assert _all_right(pickle.loads(data))


def test_no_hdf5_handle_is_alive(pack: Pack) -> None:
    pack.read(range(12))
    kinds = h5py.h5f.OBJ_FILE | h5py.h5f.OBJ_DATASET | h5py.h5f.OBJ_GROUP | h5py.h5f.OBJ_ATTR
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, kinds) == 0


@codecs
def test_a_pack_that_is_replaced_stays_the_old_one_until_reopened(tmp_path: Path, codec: str) -> None:
    pack = Pack(write(tmp_path / "p.h5", PIXELS, codec))
    data = pickle.dumps(pack)
    write(tmp_path / "new.h5", images(3, seed=5), codec).replace(pack.path)
    assert _all_right(pack)
    assert (Pack(pack.path).read([0, 1, 2]) == images(3, seed=5)).all()
    with pytest.raises(PackError, match="another pack has taken its place"):
        pickle.loads(data)


def test_a_replaced_file_that_only_hdf5_decodes_stays_the_old_one_too(tmp_path: Path) -> None:
    pack = Pack(kernel_2019(tmp_path / "p.h5", PIXELS, chunks=(5, 4, 8, 1)))
    assert pack.codec == "hdf5"
    (tmp_path / "new.h5").write_bytes(b"something else")
    (tmp_path / "new.h5").replace(pack.path)
    assert _all_right(pack)


def test_a_closed_pack_says_so(tmp_path: Path) -> None:
    with open_pack(write(tmp_path / "p.h5", PIXELS, "zstd")) as pack:
        assert _all_right(pack)
    assert pack.labels[1] == 1
    with pytest.raises(PackError, match="closed"):
        pack.read([0])


@codecs
def test_columns_come_back_as_they_were_written(tmp_path: Path, codec: str) -> None:
    pack = Pack(write(tmp_path / "p.h5", PIXELS, codec, failures=FAILURES))
    rows = [row(i) for i in range(12)]
    assert pack.ids == [r.id for r in rows]
    assert pack.groups == [r.group or "" for r in rows]
    assert pack.sources == [r.source for r in rows]
    assert pack.splits == [r.split for r in rows]
    assert pack.paths == [r.path for r in rows]
    assert pack.source_digest == [r.source_digest for r in rows]
    np.testing.assert_array_equal(pack.labels, np.float32([np.nan if r.label is None else r.label for r in rows]))
    assert pack.width.tolist() == [r.width for r in rows]
    assert pack.height.tolist() == [r.height for r in rows]
    assert pack.source_bytes.tolist() == [r.source_bytes for r in rows]
    assert pack.phash.tolist() == [r.phash for r in rows]
    assert pack.to_source.tolist() == [[list(line) for line in r.to_source] for r in rows]
    assert pack.mean.shape == pack.std.shape == (12, 3)
    assert pack.failures == FAILURES
    assert (pack.recipe_json, pack.recipe_digest, pack.fill) == (RECIPE, "0123456789abcdef" * 2, (128, 128, 128))
    assert pack.recipe_dict == {"fill": [128, 128, 128], "name": "kernel"}
    assert pack.name == "p"
    with pytest.raises(ValueError, match="read-only"):
        pack.labels[0] = 3


def test_the_table_has_a_row_for_each_image(tmp_path: Path) -> None:
    table = Pack(write(tmp_path / "p.h5", PIXELS, "raw")).table()
    assert table.columns[:2].tolist() == ["id_code", "label"]
    assert table.loc[5, "id_code"] == "id0005"
    assert table.loc[2, "phash"] == 2**64 - 3
    assert table.loc[3, "mean_1"] == pytest.approx(PIXELS[3, :, :, 1].mean())


def test_an_id_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    pack = Pack(write(tmp_path / "p.h5", PIXELS, "raw"))
    assert pack.index_of("id0007") == 7
    assert "id0007" in pack
    assert "id7" not in pack
    for wrong in ("id00007", "ID0007.png", "train/id0007", " id0007"):
        with pytest.raises(PackError, match="nearest id is 'id0007'"):
            pack[wrong]
    with pytest.raises(PackError, match="the pack is empty"):
        Pack(write(tmp_path / "e.h5", images(0), "raw", capacity=1)).index_of("a")


def test_the_digest_is_of_the_content_and_not_of_the_codec(tmp_path: Path) -> None:
    digests = {Pack(write(tmp_path / f"{codec}.h5", PIXELS, codec)).digest for codec in CODECS}
    assert len(digests) == 1
    changed = PIXELS.copy()
    changed[3, 0, 0, 0] ^= 1
    others = [
        write(tmp_path / "a.h5", changed, "raw"),
        write(tmp_path / "b.h5", PIXELS, "raw", rows=range(11)),
        write(tmp_path / "c.h5", PIXELS, "raw", rows=[1, 0, *range(2, 12)]),
    ]
    digests |= {Pack(path).digest for path in others}
    assert len(digests) == 4


def test_a_summary_is_plain_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pack, "recipe", None)
    facts = summary(Pack(write(tmp_path / "p.h5", PIXELS, "zstd", failures=FAILURES)))
    assert (facts["rows"], facts["shape"], facts["codec"]) == (12, [8, 8, 3], "zstd")
    assert facts["labels"] == {"0": 3, "1": 2, "2": 1, "3": 1, "4": 2, "missing": 3}
    assert facts["sources"] == {"aptos": 6}
    assert facts["splits"] == {"train": 12}
    assert facts["failures"][0] == {"id": "broken", "path": "train/broken.png", "reason": "cut short"}
    np.testing.assert_allclose(facts["mean"], PIXELS.mean(axis=(0, 1, 2)), atol=1e-3)
    np.testing.assert_allclose(facts["std"], PIXELS.std(axis=(0, 1, 2)), atol=1e-3)
    bare = summary(Pack(kernel_2019(tmp_path / "k.h5", PIXELS)))
    assert (bare["labels"], bare["recipe"], bare["mean"]) == ({"missing": 12}, {}, [])


def test_a_whole_pack_is_verified_with_progress(tmp_path: Path, pack: Pack) -> None:
    class Counter:
        n = 0

        def update(self, n: int) -> None:
            self.n += n

    counter = Counter()
    assert pack.verify(counter) == []  # type: ignore[arg-type]
    assert counter.n == 12
    assert len(verify_pack(pack.path)) == 12
