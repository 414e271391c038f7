"""Many packs as one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import prebake
from prebake.errors import OptionError, PackDamaged, PackError, RecipeMismatch
from prebake.loader import Loader
from prebake.recipe import load_recipe
from prebake.store import (
    Header,
    ManyPacks,
    Pack,
    PackRows,
    PackWriter,
    file_names,
    member_of,
    open_pack,
    pattern_of,
    summary,
    verify_pack,
)
from store.packs import images, row

PIXELS = images(60)
SHARES = (range(5), range(5, 6), range(6, 12))


def write(path: Path, codec: str, rows: Iterable[int], *, recipe: str = "resize", **extra: str) -> Path:
    """Write a pack of some of the images."""
    baked, numbers = load_recipe(recipe, 8), list(rows)
    header = Header(baked.to_json(), baked.digest, 8, codec, extra)
    with PackWriter(path, header, PIXELS.shape[1:], len(numbers)) as writer:
        for i in numbers:
            writer.add(row(i), PIXELS[i])
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return three files of a set, of 5, 1 and 6 rows."""
    names = file_names(tmp_path / "eyes.h5", 3)
    return [write(path, "zstd", rows) for path, rows in zip(names, SHARES, strict=True)]


@pytest.fixture
def whole(tmp_path: Path) -> Pack:
    return Pack(write(tmp_path / "whole.h5", "zstd", range(12)))


def test_names_of_files_sort_as_their_numbers_and_are_told_again():
    names = file_names(Path("a/b.c.h5"), 12_000)
    assert sorted(names) == names
    assert names[11_999].name == "b.c-11999-of-12000.h5"
    assert [member_of(name).number for name in names] == list(range(12_000))
    assert {member_of(name).target for name in names} == {Path("a/b.c.h5")}
    for other in ("b.h5", "b-1-of-2.h5", "b-00002-of-00002.h5", "-00000-of-00001.h5", "b-00000-of-00001.h5.part"):
        assert member_of(Path(other)) is None, other


def test_a_pattern_opens_all_files_as_one_pack_with_the_same_rows(files, whole, tmp_path):
    many = prebake.open(tmp_path / "eyes-*.h5")
    assert isinstance(many, ManyPacks)
    assert (len(many), many.shape, many.codec) == (12, whole.shape, "zstd")
    for name in ("ids", "groups", "splits", "sources", "paths", "source_digest", "failures", "recipe_digest"):
        assert getattr(many, name) == getattr(whole, name), name
    for name in ("labels", "width", "to_source", "phash", "checksum", "mean", "std"):
        np.testing.assert_array_equal(getattr(many, name), getattr(whole, name), name)
        assert not getattr(many, name).flags.writeable
    assert many.digest == whole.digest
    assert many.table().equals(whole.table())
    np.testing.assert_array_equal(many.read(slice(None)), PIXELS[:12])
    np.testing.assert_array_equal(many.read([11, 0, -7]), PIXELS[[11, 0, 5]])
    np.testing.assert_array_equal(many[-1], PIXELS[11])
    for number, name in enumerate(many.ids):
        np.testing.assert_array_equal(many[name], whole[number])
        np.testing.assert_array_equal(many.encoded(number), whole.encoded(number))
    with pytest.raises(IndexError, match="no image 12"):
        many[12]
    with pytest.raises(PackError, match="the nearest id is 'id0005'"):
        many["id0005x"]
    told, expected = summary(many), summary(whole)
    assert told["bytes"] == sum(path.stat().st_size for path in files)
    assert (told["files"], expected["files"]) == (3, 1)
    for name in ("rows", "shape", "labels", "groups", "sources", "mean", "digest"):
        assert told[name] == expected[name], name


def test_several_paths_patterns_and_open_packs_are_one_in_the_order_given(files, tmp_path):
    write(tmp_path / "first.h5", "raw", range(12, 14))
    many = open_pack([tmp_path / "first.h5", tmp_path / "eyes-*.h5"])
    assert many.ids == [f"id{i:04d}" for i in (12, 13, *range(12))]
    assert many.codec == "raw, zstd"
    rows = PackRows.of([tmp_path / "first.h5", open_pack(str(tmp_path / "eyes-*.h5"))])
    assert rows.ids == many.ids
    assert rows.names[1] == "eyes-00000-of-00003"
    assert rows.set_names == ("first", "eyes", "eyes", "eyes")
    assert open_pack(open_pack(files[0])).ids == open_pack([files[0]]).ids == Pack(files[0]).ids
    with pytest.raises(OptionError, match="is given 2 times"):
        open_pack([*files, files[1]])


def test_an_id_that_two_packs_have_is_refused_by_id_and_read_by_position(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.h5", "raw", range(2))
    many = open_pack([tmp_path / "a.h5", tmp_path / "b.h5"])
    with pytest.raises(PackError, match="more than once"):
        many["id0000"]
    np.testing.assert_array_equal(many[2], PIXELS[0])


def test_packs_of_different_recipes_are_refused_and_both_named(tmp_path):
    one = write(tmp_path / "a.h5", "raw", [0])
    other = write(tmp_path / "b.h5", "raw", [1], recipe="crop")
    with pytest.raises(RecipeMismatch) as caught:
        open_pack([one, other])
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)


def test_a_set_that_is_not_whole_or_of_two_packings_is_refused(files, tmp_path):
    pattern = tmp_path / "eyes-*.h5"
    assert pattern_of(tmp_path / "eyes.h5") == pattern
    stale = write(tmp_path / "eyes-00001-of-00002.h5", "raw", [20])
    with pytest.raises(PackError, match="files of 2 sets") as caught:
        open_pack(pattern)
    assert "got: 1 of 2 and 3 of 3" in str(caught.value)
    stale.unlink()
    moved = files[1].rename(tmp_path / "away.h5")
    with pytest.raises(PackError, match=r"1 of 3 files are not there\n  got: eyes-00001-of-00003.h5 missing"):
        open_pack(pattern)
    assert len(open_pack([files[0], files[2]])) == 11  # some of the files, given one by one
    moved.rename(files[1])
    write(files[2], "zstd", [7], set="another")
    with pytest.raises(PackError, match=r"eyes-00000-of-00003\.h5 and eyes-00002-of-.* were not packed together"):
        open_pack(pattern)
    with pytest.raises(PackError, match="no file matches"):
        open_pack(tmp_path / "nose-*.h5")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    strange = write(tmp_path / "eyes[1].h5", "raw", range(3))
    write(tmp_path / "eyes1.h5", "raw", range(4))
    assert len(open_pack(strange)) == 3


def test_damage_is_named_with_its_file(files, tmp_path):
    pack = Pack(files[2])
    place = int(pack._structure.offsets[3]) + int(pack._structure.sizes[3]) // 2
    data = bytearray(files[2].read_bytes())
    data[place] ^= 0xFF
    files[2].write_bytes(data)
    with pytest.raises(PackDamaged) as caught:
        verify_pack(tmp_path / "eyes-*.h5")
    assert caught.value.ids == ("id0009",)
    assert f"prebake repair {files[2]} SOURCE..." in str(caught.value)
    assert open_pack(tmp_path / "eyes-*.h5").verify() == ["id0009"]


def test_it_is_pickled_as_its_paths_and_closed_as_a_whole(files, tmp_path):
    many = open_pack(tmp_path / "eyes-*.h5")
    _ = many.ids, many.labels
    assert len(pickle.dumps(many)) < 2_000
    again = pickle.loads(pickle.dumps(many))
    np.testing.assert_array_equal(again[7], PIXELS[7])
    with again:
        pass
    with pytest.raises(PackError, match="the pack is closed"):
        again[0]


def test_the_loader_takes_a_pattern_and_gives_the_batches_of_one_pack(files, whole, tmp_path):
    options = {"batch_size": 5, "shuffle": True, "seed": 3, "threads": 1}
    with Loader(tmp_path / "eyes-*.h5", **options) as many, Loader(whole, **options) as one:
        for (images, labels), (same, also) in zip(many, one, strict=True):
            np.testing.assert_array_equal(images.numpy(), same.numpy())
            np.testing.assert_array_equal(labels.numpy(), also.numpy())


def test_the_limit_of_open_files_is_raised_or_told(tmp_path):
    paths = [write(tmp_path / f"{i:03d}.h5", "raw", [i]) for i in range(60)]
    code = (
        "import resource, sys\nfrom prebake import machine\nfrom prebake.store import open_pack\n"
        "machine.SPARE_FILES = 20\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, int(sys.argv[1])))\n"
        "print(len(open_pack(sys.argv[2])))"
    )

    def opened(limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, str(limit), str(paths[0].with_name("*.h5"))]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert opened(400).stdout == "60\n"
    told = opened(50).stderr
    assert "60 packs cannot be open at once" in told
    assert "--max-pack-size" in told
