from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prebake.errors import PackDamaged, PackError, PackFormatError
from prebake.records import Sample
from prebake.store import CODECS, Header, Pack, PackWriter, merge_packs
from store.packs import FAILURES, RECIPE, header, images, kernel_2019, row, write

codecs = pytest.mark.parametrize("codec", CODECS)
PIXELS = images(12)


def parts(folder: Path, codec: str, cuts: list[int]) -> list[tuple[Path, range]]:
    """Write the rows in parts that end at each of the cuts."""
    found = []
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(PIXELS)], strict=True)):
        path = write(folder / f"part{number}.h5", PIXELS, codec, rows=range(start, stop))
        found.append((path, range(stop - start)))
    return found


@codecs
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 12), max_size=4).map(sorted))
def test_a_merged_pack_has_the_bytes_of_one_that_was_written_at_once(
    tmp_path: Path, codec: str, cuts: list[int]
) -> None:
    once = write(tmp_path / "once.h5", PIXELS, codec, failures=FAILURES)
    merge_packs(parts(tmp_path, codec, cuts), tmp_path / "merged.h5", header(codec), FAILURES)
    assert (tmp_path / "merged.h5").read_bytes() == once.read_bytes()


@pytest.mark.parametrize("source", CODECS)
@codecs
def test_another_codec_gives_what_writing_with_it_would_have(tmp_path: Path, source: str, codec: str) -> None:
    once = write(tmp_path / "once.h5", PIXELS, codec)
    merge_packs(parts(tmp_path, source, [5]), tmp_path / "merged.h5", header(codec))
    assert (tmp_path / "merged.h5").read_bytes() == once.read_bytes()


@codecs
def test_rows_are_taken_in_the_order_asked_for(tmp_path: Path, codec: str) -> None:
    (first, _), (second, _) = parts(tmp_path, codec, [6])
    merge_packs([(second, [5, 0]), (first, [3, -1]), (second, [2])], tmp_path / "merged.h5", header(codec))
    once = write(tmp_path / "once.h5", PIXELS, codec, rows=[11, 6, 3, 5, 8])
    assert (tmp_path / "merged.h5").read_bytes() == once.read_bytes()


@codecs
def test_nothing_to_merge_gives_an_empty_pack(tmp_path: Path, codec: str) -> None:
    merge_packs([], tmp_path / "none.h5", header(codec), FAILURES)
    pack = Pack(tmp_path / "none.h5")
    assert (len(pack), pack.shape, pack.failures) == (0, (8, 8, 3), FAILURES)


@codecs
def test_damaged_images_are_named_and_the_target_is_not_complete(tmp_path: Path, codec: str) -> None:
    inputs = parts(tmp_path, codec, [7])
    path = inputs[0][0]
    data, pack = bytearray(path.read_bytes()), Pack(path)
    for i in (2, 5):
        view = pack.encoded(i)
        assert view is not None
        data[bytes(data).find(bytes(view)) + len(view) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(PackDamaged, match="2 damaged images: id0002, id0005") as caught:
        merge_packs(inputs, tmp_path / "merged.h5", header(codec))
    assert caught.value.ids == ("id0002", "id0005")
    with pytest.raises(PackFormatError, match="not complete"):
        Pack(tmp_path / "merged.h5")
    merge_packs(inputs, tmp_path / "merged.h5", header(codec), check=False)
    assert Pack(tmp_path / "merged.h5").verify() == ["id0002", "id0005"]


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    inputs = parts(tmp_path, "raw", [7])
    with pytest.raises(PackError, match="1 ids come twice: id0001"):
        merge_packs([*inputs, (inputs[0][0], [1])], tmp_path / "merged.h5", header("raw"))


def test_packs_of_another_recipe_or_shape_or_without_one_are_refused(tmp_path: Path) -> None:
    inputs = parts(tmp_path, "raw", [7])
    other = Header(RECIPE.replace("kernel", "ben"), "f" * 32, 8, "raw")
    with pytest.raises(PackFormatError, match="another recipe"):
        merge_packs(inputs, tmp_path / "merged.h5", other)
    large = write(tmp_path / "large.h5", images(1, 16), "raw")
    with pytest.raises(PackFormatError, match="another shape"):
        merge_packs([*inputs, (large, [0])], tmp_path / "merged.h5", header("raw"))
    with pytest.raises(PackFormatError, match="2019 kernel"):
        merge_packs([(kernel_2019(tmp_path / "k.h5", PIXELS), [0])], tmp_path / "merged.h5", header("raw"))


def test_chunks_are_copied_and_not_encoded_again(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", PIXELS, "zstd")
    other = Pack(write(tmp_path / "q.h5", PIXELS[::-1].copy(), "zstd"))
    merge_packs([(path, range(12))], tmp_path / "merged.h5", header("zstd"))
    mine, merged = Pack(path), Pack(tmp_path / "merged.h5")
    assert [bytes(mine.encoded(i)) for i in range(12)] == [bytes(merged.encoded(i)) for i in range(12)]
    assert bytes(mine.encoded(0)) != bytes(other.encoded(0))


@codecs
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, codec: str) -> None:
    pixels = images(40, 256)
    path = write(tmp_path / "p.h5", pixels, codec)
    del pixels
    tracemalloc.start()
    merge_packs([(path, range(20)), (path, range(20, 40))], tmp_path / "merged.h5", header(codec, 256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 256 * 256 * 3
    with h5py.File(tmp_path / "merged.h5") as file:
        assert file["images"].shape == (40, 256, 256, 3)
    assert not Pack(tmp_path / "merged.h5").verify()
    assert np.isfinite(Pack(path).mean).all()


@codecs
def test_what_the_sources_say_now_replaces_what_they_said_when_the_images_were_baked(
    tmp_path: Path, codec: str
) -> None:
    said = {"label": 4.0, "group": None, "source": "new", "split": "test", "path": "new/a.png"}
    samples = [Sample(f"id{i:04d}", "/", "a.png", 1, "", 4.0, None, "new", "test") for i in range(12)]
    merge_packs(parts(tmp_path, codec, [5]), tmp_path / "merged.h5", header(codec), samples=samples)
    with PackWriter(tmp_path / "once.h5", header(codec), (8, 8, 3), 12) as writer:
        for i in range(12):
            writer.add(row(i, **said), PIXELS[i])
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "once.h5").read_bytes()
    with pytest.raises(PackError, match="12 samples"):
        merge_packs(parts(tmp_path, codec, [5]), tmp_path / "merged.h5", header(codec), samples=samples[:3])


def test_many_runs_of_rows_that_alternate_between_two_packs_open_each_of_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), (second, _) = parts(tmp_path, "raw", [6])
    opened: list[Path] = []

    def counted(path: Path) -> Pack:
        opened.append(path)
        return Pack(path)

    monkeypatch.setattr("prebake.store.merge.Pack", counted)
    merge_packs([entry for i in range(6) for entry in ((first, [i]), (second, [i]))], tmp_path / "m.h5", header("raw"))
    assert opened == [first, second]
    assert list(Pack(tmp_path / "m.h5").ids[:4]) == ["id0000", "id0006", "id0001", "id0007"]
