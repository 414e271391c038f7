"""Files that are made to do harm: whatever they claim, hide or name, they are refused, and take no memory."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from prebake.errors import PackDamaged, PackError, PackFormatError
from prebake.store import Pack, fallback
from store.packs import images, kernel_2019, write

LIMITED = """
import resource, sys
from prebake.errors import PackError
from prebake.store import Pack
resource.setrlimit(resource.RLIMIT_AS, (5 << 28, 5 << 28))
for path in sys.argv[1:]:
    try:
        pack = Pack(path)
        print(len(pack.verify()), "damaged of", len(pack))
    except PackError as error:
        print(type(error).__name__, str(error).splitlines()[0])
"""


def limited(*paths: Path) -> list[str]:
    """Open packs and verify them in a process that may take a gigabyte or so; return a line for each."""
    command = [sys.executable, "-c", LIMITED, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def chunked(path: Path, chunk: tuple[int, ...], data: bytes, **options: Any) -> Path:
    """Write a bare file all of whose chunks have the same bytes."""
    with h5py.File(path, "w") as file:
        found = file.create_dataset("images", (4, 64, 64, 3), "u1", chunks=chunk, **options)
        for start in range(0, 4, chunk[0]):
            found.id.write_direct_chunk((start, 0, 0, 0), data)
        file["id_code"] = np.array([b"a", b"b", b"c", b"d"])
    return path


def test_images_that_inflate_to_gigabytes_are_damaged_and_take_no_memory(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(3 << 29), 9)
    paths = [
        chunked(tmp_path / "one.h5", (1, 64, 64, 3), bomb, compression="gzip"),
        chunked(tmp_path / "two.h5", (2, 64, 64, 3), bomb, compression="gzip"),
        chunked(tmp_path / "checked.h5", (2, 64, 64, 3), bomb + bytes(4), compression="gzip", fletcher32=True),
    ]
    assert limited(*paths) == ["4 damaged of 4"] * 3


def test_ids_that_inflate_to_gigabytes_are_refused_and_take_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "ids.h5", "w") as file:
        file["images"] = images(4)
        ids = file.create_dataset("id_code", (4,), "S8", chunks=(4,), compression="gzip")
        ids.id.write_direct_chunk((0,), zlib.compress(bytes(3 << 29), 9))
    assert limited(tmp_path / "ids.h5")[0].startswith("PackDamaged")


def test_many_ids_that_are_one_long_text_are_refused(tmp_path: Path) -> None:
    count = 20_000
    path = kernel_2019(
        tmp_path / "k.h5", np.zeros((count, 1, 1, 1), np.uint8), ids=["x" * 100_000] + ["y"] * (count - 1)
    )
    with h5py.File(path) as file:
        start = file["id_code"].id.get_offset()
    data = path.read_bytes()
    path.write_bytes(data[:start] + data[start : start + 16] * count + data[start + 16 * count :])
    assert "too long for ids" in limited(path)[0]


@pytest.mark.parametrize("chunk", [(2, 8, 8, 3), (3, 5, 8, 2)])
def test_what_only_hdf5_decodes_is_still_read(tmp_path: Path, chunk: tuple[int, ...]) -> None:
    pixels = images(4)
    for number, options in enumerate([{"fletcher32": True}, {"shuffle": True, "fletcher32": True}, {}]):
        path = kernel_2019(
            tmp_path / f"{number}.h5", pixels, chunks=chunk, ids=np.array([b"a", b"b", b"c", b"d"]), **options
        )
        with Pack(path) as pack:
            assert pack.codec == "hdf5"
            np.testing.assert_array_equal(pack.read(range(4)), pixels)


def piped(path: Path, *numbers: int) -> Path:
    """Write a bare file whose images are behind filters of these numbers."""
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_chunk((2, 8, 8, 3))
    for number in numbers:
        create.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (1,))
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4, 8, 8, 3))
        found = h5py.h5d.create(file.id, b"images", h5py.h5t.STD_U8LE, space, create)
        for start in (0, 2):
            found.write_direct_chunk((start, 0, 0, 0), bytes(384))
        file["id_code"] = np.array([b"a", b"b", b"c", b"d"])
    return path


def test_a_filter_that_nobody_knows_is_refused_without_asking_hdf5_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    available = h5py.h5z.filter_avail
    path = piped(tmp_path / "p.h5", 40_000)
    monkeypatch.setattr(fallback.h5py.h5z, "filter_avail", lambda number: asked.append(number) or available(number))
    with pytest.raises(PackFormatError, match="40000, which is not installed"):
        Pack(path)
    assert 40_000 not in asked, "HDF5 would have looked for a library of that number, and run it"


def test_compressions_in_one_another_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match="one in the other"):
        Pack(piped(tmp_path / "p.h5", 1, 1))


@pytest.mark.parametrize("name", ["images", "id_code"])
@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_what_leads_out_of_the_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    secret = write(tmp_path / "secret.h5", images(4), "raw")
    with h5py.File(secret) as theirs:
        shape, dtype = theirs[name].shape, theirs[name].dtype
    path = write(tmp_path / "p.h5", images(4), "raw")
    with h5py.File(path, "r+") as file:
        del file[name]
        if kind == "external link":
            file[name] = h5py.ExternalLink(str(secret), name)
        elif kind == "soft link":
            file["elsewhere"] = np.zeros(shape, dtype)
            file[name] = h5py.SoftLink("/elsewhere")
        elif kind == "external storage":
            file.create_dataset(name, shape, dtype, external=[(str(secret), 4096, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(secret), name, shape)
            file.create_virtual_dataset(name, layout)
    with pytest.raises(PackError):
        Pack(path)


@pytest.mark.parametrize("shape", [(1 << 40, 8, 8, 3), (4, 1 << 20, 1 << 20, 3), (1 << 55, 8, 1, 1)])
@pytest.mark.parametrize("options", [{}, {"chunks": (1, 8, 1, 1), "compression": "gzip"}])
def test_a_shape_that_is_a_lie_takes_no_memory(tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file.create_dataset("images", shape, "u1", **options)
        file.create_dataset("id_code", (shape[0],), "S100", chunks=(4,))
    assert limited(tmp_path / "p.h5")[0].startswith(("PackFormatError", "PackDamaged"))


def test_a_pack_with_texts_as_wide_as_gigabytes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", images(4), "raw")
    with h5py.File(path, "r+") as file:
        del file["group"]
        file.create_dataset("group", (4,), "S1000000000")
    with pytest.raises((PackDamaged, PackFormatError)):
        Pack(path)
