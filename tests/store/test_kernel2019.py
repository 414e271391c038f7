from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers its filters
import numpy as np
import pytest

from prebake.errors import PackDamaged, PackError, PackFormatError
from prebake.store import CODECS, Pack
from prebake.store.heap import variable_texts
from store.packs import images, kernel_2019

codecs = pytest.mark.parametrize("codec", CODECS)
PIXELS = images(12)


@pytest.mark.parametrize(
    "ids",
    [
        np.array([f"{i:012x}" for i in range(12)], "S12"),
        [f"{i:012x}" for i in range(12)],
        np.array([f"{i:012x}" for i in range(12)], h5py.string_dtype("utf-8", 12)),
    ],
    ids=["bytes", "variable", "utf-8"],
)
@pytest.mark.parametrize(
    "options", [{}, {"shuffle": True}, {"compression_opts": 9}, {"compression": None, "compression_opts": None}]
)
def test_files_of_the_2019_kernel_open(tmp_path: Path, ids: object, options: dict[str, object]) -> None:
    pack = Pack(kernel_2019(tmp_path / "k.h5", PIXELS, ids=ids, **options))
    assert pack.codec == ("raw" if "compression" in options else "gzip")
    assert pack.ids[11] == "00000000000b"
    assert pack.index_of("00000000000b") == 11
    assert (pack.read(range(12)) == PIXELS).all()
    assert np.isnan(pack.labels).all()
    assert pack.labels.shape == (12,)
    assert (pack.recipe, pack.recipe_digest, pack.fill, pack.failures) == (None, "", (0, 0, 0), ())
    assert pack.groups == pack.paths == [""] * 12
    assert np.isnan(pack.to_source).all()
    assert pack.verify() == []
    assert pack.table().shape[0] == 12


def test_a_2019_file_without_compression_or_chunks_is_read_like_raw(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["images"], file["id_code"] = PIXELS, [f"{i}" for i in range(12)]
    pack = Pack(tmp_path / "k.h5")
    assert pack.codec == "raw"
    assert (pack.read(range(12)) == PIXELS).all()


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzf", "compression_opts": None},
        {"fletcher32": True},
        {"chunks": (5, 4, 8, 1)},
        {"chunks": (12, 8, 8, 3)},
        {"chunks": (2, 8, 8, 3), "compression": 32015, "compression_opts": (1,)},
        {"scaleoffset": 0, "compression": None, "compression_opts": None},
    ],
)
def test_what_is_not_known_is_read_through_hdf5(tmp_path: Path, options: dict[str, object]) -> None:
    pack = Pack(kernel_2019(tmp_path / "k.h5", PIXELS, **options))
    assert pack.codec == "hdf5"
    assert (pack.read([11, 0, 5]) == PIXELS[[11, 0, 5]]).all()
    assert pack.verify() == []


def test_a_chunk_for_which_the_filter_was_left_out_is_read_right(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", PIXELS)
    with h5py.File(path, "r+") as file:
        file["images"].id.write_direct_chunk((4, 0, 0, 0), PIXELS[4].tobytes(), filter_mask=1)
    pack = Pack(path)
    assert pack.codec == "gzip"
    assert (pack.read(range(12)) == PIXELS).all()


def test_a_chunk_that_claims_to_be_unfiltered_but_is_smaller_than_an_image_is_damage(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", PIXELS)
    with h5py.File(path, "r+") as file:
        file["images"].id.write_direct_chunk((4, 0, 0, 0), PIXELS[4].tobytes()[:50], filter_mask=1)
    with pytest.raises(PackDamaged, match="chunk index"):
        Pack(path)


def test_a_2019_file_that_was_not_finished_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "k.h5", "w") as file:
        data = file.create_dataset("images", (12, 8, 8, 3), "u1", chunks=(1, 8, 8, 3), compression="gzip")
        data[:7] = PIXELS[:7]
        file["id_code"] = [f"{i}" for i in range(12)]
    with pytest.raises(PackFormatError, match="images were never written"):
        Pack(tmp_path / "k.h5")


@pytest.mark.parametrize("count", [1, 24, 3000])
def test_ids_of_any_length_are_those_that_h5py_reads(tmp_path: Path, count: int) -> None:
    names = ["", "ä" * 40, *(f"{i:x}" * (i % 9 + 1) for i in range(2, count))][:count]
    path = kernel_2019(tmp_path / "k.h5", images(count, 2), ids=names)
    with h5py.File(path) as file:
        assert file["id_code"].asstr()[()].tolist() == names
    assert Pack(path).ids == names


def test_a_flipped_bit_in_the_heap_of_the_ids_is_damage_or_another_id_and_never_a_hang(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", images(6, 2))
    data = path.read_bytes()
    start, refused = data.index(b"GCOL"), 0
    for place in range(start, start + 16 + 7 * 32):
        for bit in range(8):  # HDF5 itself does not come to an end of some of these
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            try:
                assert len(Pack(path)) == 6
            except PackDamaged:
                refused += 1
    assert refused > 400


def test_a_heap_that_leads_out_of_the_file_or_over_itself_is_refused() -> None:
    heap = bytearray(b"GCOL\1\0\0\0" + (64).to_bytes(8, "little"))
    heap += (1).to_bytes(8, "little") + (3).to_bytes(8, "little") + b"abc".ljust(32, b"\0")
    for address, number, said in ((0, 1, ""), (0, 2, "not in the heap"), (8, 1, "damaged"), (2**63, 1, "damaged")):
        element = (3).to_bytes(4, "little") + address.to_bytes(8, "little") + number.to_bytes(4, "little")
        file = np.frombuffer(bytes(heap) + element, np.uint8)
        if said:
            with pytest.raises(ValueError, match=said):
                variable_texts(file, len(heap), 1)
        else:
            assert variable_texts(file, len(heap), 1).tolist() == [b"abc"]


def test_an_id_that_comes_twice_in_a_2019_file_is_not_guessed(tmp_path: Path) -> None:
    pack = Pack(kernel_2019(tmp_path / "k.h5", PIXELS[:3], ids=["a", "b", "a"]))
    assert pack.index_of("b") == 1
    with pytest.raises(PackError, match="more than once"):
        pack["a"]


def test_verify_finds_a_2019_image_that_does_not_decode(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", PIXELS)
    view = Pack(path).encoded(3)
    assert view is not None
    data = bytearray(path.read_bytes())
    data[data.find(bytes(view)) + len(view) // 2] ^= 4
    path.write_bytes(data)
    assert Pack(path).verify() == ["000000000003"]
