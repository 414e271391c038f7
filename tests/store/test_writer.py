from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers zstd
import numpy as np
import pytest
import xxhash

from prebake.errors import NoSpace, PackError, PackFormatError
from prebake.records import Failure
from prebake.store import CODECS, FORMAT_VERSION, Header, Pack, PackWriter
from prebake.store.checksums import pixel_statistics
from prebake.store.writer import PackFile
from store.packs import FAILURES, RECIPE, header, images, row, write

codecs = pytest.mark.parametrize("codec", CODECS)


@codecs
def test_plain_h5py_reads_every_image_and_every_column(tmp_path: Path, codec: str) -> None:
    pixels = images(5)
    path = write(tmp_path / "p.h5", pixels, codec, failures=FAILURES)
    with h5py.File(path) as file:
        for i in range(5):
            assert (file["images"][i] == pixels[i]).all()
            assert file["checksum"][i] == xxhash.xxh3_64_intdigest(pixels[i].tobytes())
        assert file["id_code"].asstr()[:].tolist() == [f"id{i:04d}" for i in range(5)]
        assert file["path"].asstr()[4] == "train/ääää4.png"
        np.testing.assert_array_equal(file["label"][:], np.float32([0, 1, 2, np.nan, 4]))
        assert file["group"].asstr()[:].tolist() == ["", "patient0", "patient1", "", "patient2"]
        assert file["to_source"].shape == (5, 2, 3)
        assert file["to_source"][2].tolist() == [[10, 0, 2 / 3], [0, 10, 4.5]]
        assert file["phash"][1] == 2**64 - 2
        assert file["source_bytes"][1] == 10_000_000_001
        np.testing.assert_allclose(file["mean"][:], pixels.mean(axis=(1, 2)), rtol=1e-6)
        np.testing.assert_allclose(file["std"][:], pixels.std(axis=(1, 2)), rtol=1e-6)
        assert file["failures/id"].asstr()[:].tolist() == ["broken", "käse"]
        assert file["failures/reason"].asstr()[1] == "text, not an image"
        assert file.attrs["recipe"].decode() == RECIPE
        assert file.attrs["complete"] == 1
        assert file.attrs["format_version"] == FORMAT_VERSION


def test_raw_pixels_are_contiguous_and_start_on_a_page(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "p.h5", images(9, 32), "raw")) as file:
        assert file["images"].chunks is None
        assert file["images"].id.get_offset() % 4096 == 0


def test_mean_and_deviation_count_every_pixel_of_an_image_of_more_than_two_to_the_24():
    image = np.full((4097, 4099, 1), 200, np.uint8)
    image[5, 7], image[4090, 11] = 0, 0
    mean, std = pixel_statistics(image)
    np.testing.assert_allclose((mean, std), (image.mean(axis=(0, 1)), image.std(axis=(0, 1))), rtol=1e-5)


@pytest.mark.parametrize(("codec", "number"), [("zstd", 32015), ("gzip", 1)])
def test_a_chunk_is_one_image_behind_the_one_filter(tmp_path: Path, codec: str, number: int) -> None:
    with h5py.File(write(tmp_path / "p.h5", images(3), codec)) as file:
        assert file["images"].chunks == (1, 8, 8, 3)
        create = file["images"].id.get_create_plist()
        assert [create.get_filter(i)[0] for i in range(create.get_nfilters())] == [number]


@codecs
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, codec: str) -> None:
    first = write(tmp_path / "a.h5", images(6), codec, failures=FAILURES).read_bytes()
    assert write(tmp_path / "other name.h5", images(6), codec, failures=FAILURES).read_bytes() == first


@codecs
def test_a_pack_with_fewer_rows_than_its_capacity_is_as_if_that_had_been_known(tmp_path: Path, codec: str) -> None:
    exact = write(tmp_path / "a.h5", images(6), codec)
    assert write(tmp_path / "b.h5", images(6), codec, capacity=11).read_bytes() == exact.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


@codecs
def test_when_writing_again_fails_only_the_first_file_is_left_and_refused(tmp_path, monkeypatch, codec):
    def full(*args: object) -> None:
        raise NoSpace("the disk is full")

    monkeypatch.setattr(PackFile, "finish", full)
    with pytest.raises(NoSpace):
        write(tmp_path / "a.h5", images(6), codec, capacity=11)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    with pytest.raises(PackFormatError, match="not complete"):
        Pack(tmp_path / "a.h5")


@codecs
def test_a_pack_of_nothing_but_failures_opens(tmp_path: Path, codec: str) -> None:
    pack = Pack(write(tmp_path / "p.h5", images(0), codec, capacity=2, failures=FAILURES))
    assert (len(pack), pack.ids, pack.failures, pack.verify()) == (0, [], FAILURES, [])
    assert pack.read([]).shape == (0, 8, 8, 3)
    assert pack.table().shape[0] == 0


def test_a_fresh_process_writes_and_reads_zstd_without_having_loaded_its_filter(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from store.packs import images, write; from prebake.store import Pack;"
        "path = write(Path(sys.argv[1]), images(2), 'zstd'); print(Pack(path).verify())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p.h5")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "[]\n"


def test_neither_path_nor_time_nor_machine_enter_the_file(tmp_path: Path) -> None:
    data = write(tmp_path / "p.h5", images(2), "zstd").read_bytes()
    assert str(tmp_path).encode() not in data
    assert tmp_path.name.encode() not in data


@codecs
def test_a_block_that_raises_leaves_a_file_that_is_refused_as_incomplete(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "p.h5"
    with pytest.raises(PackError, match="wrong kind"), PackWriter(path, header(codec), (8, 8, 3), 2) as writer:
        writer.add(row(0), images(1, size=9)[0])
    with pytest.raises(PackFormatError, match="not complete"):
        Pack(path)


def test_a_file_without_the_mark_is_refused_though_all_else_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", images(2), "raw")
    with h5py.File(path, "r+") as file:
        del file.attrs["complete"]
    with pytest.raises(PackFormatError, match="did not come to its end"):
        Pack(path)


def test_what_does_not_fit_is_refused_with_its_id(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "p.h5", header("zstd"), (8, 8, 3), 2) as writer:
        for wrong in (images(1, 9)[0], images(1)[0].astype(np.float32), images(1)[0].tolist()):
            with pytest.raises(PackError, match=r"id0000: image of the wrong kind"):
                writer.add(row(0), wrong)
        writer.add(row(0), images(1)[0])
        with pytest.raises(PackError, match="'id0000' comes twice"):
            writer.add(row(0), images(1)[0])
        with pytest.raises(PackError, match="'id0000' comes twice"):
            writer.fail(Failure("id0000", "x", "y"))
        writer.add(row(1), images(1)[0])
        with pytest.raises(PackError, match="more images than its capacity"):
            writer.add(row(2), images(1)[0])
    with pytest.raises(PackError, match="closed"):
        writer.add(row(3), images(1)[0])
    assert Pack(tmp_path / "p.h5").ids == ["id0000", "id0001"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "must have an id"),
        ({"id": "a\0b"}, "zero character"),
        ({"path": "\udcff.png"}, "not valid text"),
        ({"to_source": ((1, 0), (0, 1))}, "to_source"),
        ({"source_digest": "12"}, "source_digest"),
        ({"label": float("nan")}, "label"),
        ({"phash": -1}, "phash is out of range"),
        ({"width": 2**31}, "width is out of range"),
    ],
)
def test_a_row_checks_itself(change: dict[str, object], message: str) -> None:
    with pytest.raises(PackError, match=message):
        row(0, **change)


@pytest.mark.parametrize(
    "change", [{"recipe_json": "{"}, {"recipe_json": "[]"}, {"recipe_digest": "x"}, {"size": 0}, {"extra": {"a": 1}}]
)
def test_a_header_checks_itself(change: dict[str, object]) -> None:
    with pytest.raises(PackFormatError):
        Header(**({"recipe_json": RECIPE, "recipe_digest": "0" * 32, "size": 8, "codec": "raw"} | change))


def test_a_recipe_that_is_too_long_for_an_attribute_is_refused(tmp_path: Path) -> None:
    long = Header('{"a":"' + "x" * 70_000 + '"}', "0" * 32, 8, "raw")
    with pytest.raises(PackError, match="too long"), PackWriter(tmp_path / "p.h5", long, (8, 8, 3), 0):
        pass


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="cannot be written"):
        PackWriter(tmp_path / "no" / "p.h5", header("raw"), (8, 8, 3), 1)


def test_images_that_do_not_lie_in_order_in_memory_are_written_right(tmp_path: Path) -> None:
    pixels = images(1, 16)[0]
    for codec in CODECS:
        with PackWriter(tmp_path / "p.h5", header(codec, 16), (16, 16, 3), 1) as writer:
            writer.add(row(0), pixels.transpose(1, 0, 2)[:, ::-1])
        assert (Pack(tmp_path / "p.h5")[0] == pixels.transpose(1, 0, 2)[:, ::-1]).all()


@codecs
@pytest.mark.parametrize("limit", [100, 5_000, 30_000, 60_000])
def test_a_disk_that_is_full_ends_in_a_clear_error_and_no_pack(tmp_path: Path, codec: str, limit: int) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from prebake.errors import NoSpace;"
        "from store.packs import images, write; pixels = images(9, 48); limit = int(sys.argv[3]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try: write(Path(sys.argv[1]), pixels, sys.argv[2])\n"
        "except NoSpace as error: print(error.what)"
    )
    path = tmp_path / "p.h5"
    run = subprocess.run(
        [sys.executable, "-c", code, str(path), codec, str(limit if codec == "raw" else limit // 4)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == f"{path}: no room to write the pack\n"
    assert run.stderr == ""
    with pytest.raises(PackFormatError):
        Pack(path)
