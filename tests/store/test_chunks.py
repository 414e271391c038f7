from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from prebake.errors import PackDamaged, PackFormatError
from prebake.store import Pack, chunks, listing
from prebake.store.object_header import tree_root
from store.packs import images, kernel_2019, write


def _by_hdf5(data: h5py.h5d.DatasetID) -> np.ndarray:
    found: list[tuple[int, ...]] = []
    data.chunk_iter(lambda info: found.append((*info.chunk_offset, info.filter_mask, info.byte_offset, info.size)))
    return np.array(found, np.uint64)


def _tables(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is read from the tree, and what HDF5 says; both by row."""
    with h5py.File(path) as file:
        data = file["images"].id
        mine, theirs = chunks.chunk_table(data), _by_hdf5(data)
    return mine[np.argsort(mine[:, 0])], theirs[np.argsort(theirs[:, 0])]


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 3000])
def test_the_tree_says_what_hdf5_says(tmp_path: Path, rows: int) -> None:
    pixels = images(rows, 2)
    for path in (write(tmp_path / "p.h5", pixels, "zstd"), kernel_2019(tmp_path / "k.h5", pixels, shuffle=True)):
        mine, theirs = _tables(path)
        assert mine.dtype == np.uint64
        np.testing.assert_array_equal(mine, theirs)


def test_the_tree_is_read_in_whatever_order_images_were_written_and_with_their_masks(tmp_path: Path) -> None:
    pixels, path = images(500, 4), tmp_path / "k.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("images", pixels.shape, "u1", chunks=(1, 4, 4, 3), compression="gzip")
        for row in np.random.default_rng(0).permutation(500).tolist():
            if row % 7:
                data[row] = pixels[row]
            else:
                data.id.write_direct_chunk((row, 0, 0, 0), pixels[row].tobytes(), filter_mask=1)
        file["id_code"] = [f"{row}" for row in range(500)]
    mine, theirs = _tables(path)
    np.testing.assert_array_equal(mine, theirs)
    assert mine[:, 4].tolist() == [row % 7 == 0 for row in range(500)]
    assert (Pack(path).read(range(500)) == pixels).all()


def _file(path: Path, libver: object, pixels: np.ndarray, attributes: int = 0, **options: object) -> Path:
    """Write a file as another version of HDF5 would."""
    with h5py.File(path, "w", libver=libver) as file:
        given = {"chunks": (1, *pixels.shape[1:]), "compression": "gzip"} | options
        data = file.create_dataset("images", data=pixels, **given)
        for number in range(attributes):
            data.attrs[f"note {number}"] = "x" * 300
        file["id_code"] = [f"{row}" for row in range(len(pixels))]
    return path


@pytest.mark.parametrize("options", [{}, {"maxshape": (None, 8, 8, 3)}, {"maxshape": (None, None, 8, 3)}])
def test_another_kind_of_index_is_left_to_hdf5_in_another_process(tmp_path: Path, options: dict[str, object]) -> None:
    pixels = images(70)
    path = _file(tmp_path / "k.h5", "latest", pixels, **options)
    with h5py.File(path) as file:
        assert tree_root(file["images"].id, file.id.get_vfd_handle()) is None
    mine, theirs = _tables(path)
    np.testing.assert_array_equal(mine, theirs)
    assert (Pack(path).read(range(70)) == pixels).all()


@pytest.mark.parametrize("libver", [("earliest", "v110"), ("v108", "v110")])
@pytest.mark.parametrize("attributes", [0, 1, 6, 40])
def test_the_tree_is_found_behind_other_superblocks_and_in_continuation_blocks(tmp_path, libver, attributes):
    pixels = images(300, 2)
    path = _file(tmp_path / "k.h5", libver, pixels, attributes)
    with h5py.File(path) as file:
        assert tree_root(file["images"].id, file.id.get_vfd_handle())
    mine, theirs = _tables(path)
    np.testing.assert_array_equal(mine, theirs)
    assert (Pack(path).read(range(300)) == pixels).all()


def test_a_damaged_tree_is_refused_or_pixels_are_what_they_were(tmp_path: Path) -> None:
    pixels, rng = images(150, 2), np.random.default_rng(1)
    path = kernel_2019(tmp_path / "k.h5", pixels)
    data = path.read_bytes()
    nodes = _nodes(data)
    assert len(nodes) > 2
    refused = 0
    for turn in range(300):
        damaged = bytearray(data)
        damaged[nodes[turn % len(nodes)] + int(rng.integers(3600))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            pack = Pack(path)
            bad = set(pack.verify())
        except (PackDamaged, PackFormatError):
            refused += 1
            continue
        for row, name in enumerate(pack.ids):
            assert name in bad or (pack[row] == pixels[row]).all()
    assert refused


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("to", ["itself", "its sibling"])
@pytest.mark.parametrize("libver", [("earliest", "v110"), ("v108", "v110")])
@pytest.mark.parametrize("attributes", [0, 6])
def test_nodes_that_lead_in_circles_are_refused(tmp_path, chunk, to, libver, attributes):
    path = _file(tmp_path / "k.h5", libver, images(300, 2), attributes, chunks=(chunk, 2, 2, 3))
    data = bytearray(path.read_bytes())
    root = next(at for at in _nodes(data) if data[at + 5] == 1)
    first = root + 24 + 48  # the address of its first child; HDF5 itself would recurse until the process dies
    second = first + 56
    data[second : second + 8] = root.to_bytes(8, "little") if to == "itself" else data[first : first + 8]
    path.write_bytes(data)
    with pytest.raises(PackDamaged, match="the tree of the chunks"):
        Pack(path)


def test_circles_in_the_tree_of_the_ids_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.h5"
    with h5py.File(path, "w") as file:
        file["images"] = images(300, 2)
        file.create_dataset("id_code", data=np.array([f"{row}" for row in range(300)], "S8"), chunks=(2,))
    assert Pack(path).ids[299] == "299"
    data = bytearray(path.read_bytes())
    root = next(at for at in _nodes(data) if data[at + 5] == 1)
    data[root + 48 : root + 56] = root.to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(PackDamaged, match="the tree of the chunks"):
        Pack(path)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("import os; os.kill(os.getpid(), 11)", "signal 11"), ("import time; time.sleep(60)", "does not come to an end"),
     ("raise ValueError('no such thing')", "ValueError: no such thing")],
)  # fmt: skip
def test_a_process_that_dies_or_hangs_over_an_index_is_damage(tmp_path, monkeypatch, trouble, said):
    path = _file(tmp_path / "k.h5", "latest", images(70))
    monkeypatch.setattr(listing, "START", trouble)
    monkeypatch.setattr(listing, "SECONDS", 1)
    with pytest.raises(PackDamaged, match=said):
        Pack(path)


def test_a_chunk_that_is_there_twice_does_not_stand_for_one_that_is_missing(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", images(8), chunks=(2, 8, 8, 3))
    data = bytearray(path.read_bytes())
    key = _nodes(data)[0] + 24  # of the first chunk; the second's follows its address
    data[key + 48 : key + 56 + 32] = data[key + 48 : key + 56] + data[key + 8 : key + 40]
    path.write_bytes(data)
    with pytest.raises((PackDamaged, PackFormatError)):
        Pack(path)


def test_images_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", images(30))
    data = bytearray(path.read_bytes())
    first = _nodes(data)[0] + 24 + 48
    data[first + 56 : first + 64] = data[first : first + 8]
    path.write_bytes(data)
    with pytest.raises(PackDamaged, match="overlap"):
        Pack(path)


def test_a_chunk_that_was_not_shuffled_and_is_too_short_is_damage(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", images(3), shuffle=True)
    with h5py.File(path, "r+") as file:
        for row, data in enumerate((bytes(192), b"short", images(3)[2].tobytes())):
            file["images"].id.write_direct_chunk((row, 0, 0, 0), zlib.compress(data), filter_mask=1)
    pack = Pack(path)
    assert (pack[0] == 0).all()
    assert (pack[2] == images(3)[2]).all()
    with pytest.raises(PackDamaged, match="does not decode"):
        pack[1]


def _nodes(data: bytes | bytearray) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(b"TREE\x01", at)]
