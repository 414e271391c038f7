from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from prebake.errors import PackDamaged, PackFormatError
from prebake.store import Pack, chunks
from store.packs import images, kernel_2019, write


def _tables(path: Path) -> tuple[Any, np.ndarray]:
    """What is read from the tree, and what HDF5 says; both by row."""
    with h5py.File(path) as file:
        data = file["images"].id
        mine, theirs = chunks._from_tree(data), chunks._from_hdf5(data)
    return mine if mine is None else mine[np.argsort(mine[:, 0])], theirs[np.argsort(theirs[:, 0])]


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
    assert mine[:, 1].tolist() == [row % 7 == 0 for row in range(500)]
    assert (Pack(path).read(range(500)) == pixels).all()


def test_another_kind_of_index_is_left_to_hdf5(tmp_path: Path) -> None:
    pixels, path = images(70), tmp_path / "k.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("images", data=pixels, chunks=(1, 8, 8, 3), compression="gzip")
        file["id_code"] = [f"{row}" for row in range(70)]
    assert _tables(path)[0] is None
    assert (Pack(path).read(range(70)) == pixels).all()


def test_a_damaged_tree_is_refused_or_says_what_hdf5_says(tmp_path: Path) -> None:
    path, rng = kernel_2019(tmp_path / "k.h5", images(150, 2)), np.random.default_rng(1)
    data = path.read_bytes()
    nodes = [at for at in range(len(data)) if data.startswith(b"TREE\x01", at)]
    assert len(nodes) > 2
    whole = _tables(path)[0]
    for turn in range(150):
        damaged = bytearray(data)
        damaged[nodes[turn % len(nodes)] + int(rng.integers(200))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            pack = Pack(path)
        except (PackDamaged, PackFormatError):
            continue
        pack.verify()
        try:
            mine, theirs = _tables(path)
        except RuntimeError:  # HDF5 also refuses keys that nobody needs who reads the tree from end to end
            theirs = whole
            with h5py.File(path) as file:
                mine = chunks._from_tree(file["images"].id)
        assert mine is None or (mine == theirs).all()


def test_nodes_that_lead_to_each_other_end(tmp_path: Path) -> None:
    path = kernel_2019(tmp_path / "k.h5", images(150, 2))
    data = bytearray(path.read_bytes())
    nodes = [at for at in range(len(data)) if data.startswith(b"TREE\x01", at)]
    root = next(at for at in nodes if data[at + 5] == 1)
    first = root + 24 + 48  # the address of its first child
    second = first + 56
    data[second : second + 8] = data[first : first + 8]
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert chunks._from_tree(file["images"].id) is None
    with pytest.raises((PackDamaged, PackFormatError)):
        Pack(path)
