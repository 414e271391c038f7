from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from prebake.errors import PackFormatError
from prebake.store import CODECS, Pack, mend_pack, not_of_the_format, writer
from store.packs import FAILURES, images, kernel_2019, write

codecs = pytest.mark.parametrize("codec", CODECS)
PIXELS = images(12)


@codecs
def test_a_pack_written_once_more_has_the_same_bytes_whatever_writes_it(tmp_path, codec, monkeypatch):
    path = write(tmp_path / "p.h5", PIXELS, codec, failures=FAILURES)
    monkeypatch.setattr(writer, "_versions", lambda: "prebake 99 (another library 7)")
    mend_pack(Pack(path), tmp_path / "mended.h5", {})
    assert (tmp_path / "mended.h5").read_bytes() == path.read_bytes()


@codecs
def test_images_are_taken_from_elsewhere_and_what_is_said_of_them_stays(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "p.h5", PIXELS, codec)
    parts = [Pack(write(tmp_path / f"{i}.h5", images(3, seed=i), codec)) for i in (1, 2)]
    mend_pack(Pack(path), tmp_path / "mended.h5", {0: (parts[0], 2), 7: (parts[1], 1)})
    mended, expected = Pack(tmp_path / "mended.h5"), PIXELS.copy()
    expected[0], expected[7] = images(3, seed=1)[2], images(3, seed=2)[1]
    np.testing.assert_array_equal(mended.read(range(12)), expected)
    assert mended.verify() == ["id0000", "id0007"]
    assert mended.written_by == Pack(path).written_by


def test_what_others_have_put_into_a_pack_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", PIXELS, "raw", failures=FAILURES)
    assert not_of_the_format(Pack(path)) == []
    with h5py.File(path, "r+") as file:
        file["masks/left"], file.attrs["note"] = PIXELS, "mine"
    assert not_of_the_format(Pack(path)) == ["masks", "note"]


def test_siblings_in_the_list_of_datasets_that_lead_in_circles_are_not_followed_and_go(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", PIXELS, "raw")
    data = bytearray(path.read_bytes())
    node = data.index(b"TREE\0")
    data[node + 16 : node + 24] = node.to_bytes(8, "little")  # h5py's len(file) does not come to an end
    path.write_bytes(data)
    assert not_of_the_format(Pack(path)) == []
    mend_pack(Pack(path), tmp_path / "mended.h5", {})
    assert (tmp_path / "mended.h5").read_bytes() == write(tmp_path / "whole.h5", PIXELS, "raw").read_bytes()


def test_a_pack_without_a_header_or_with_images_stored_anew_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackFormatError, match="2019 kernel"):
        _ = Pack(kernel_2019(tmp_path / "k.h5", PIXELS)).header
    path = write(tmp_path / "p.h5", PIXELS, "raw")
    with h5py.File(path, "r+") as file:
        pixels = file["images"][()]
        del file["images"]
        file.create_dataset("images", data=pixels, chunks=(1, 8, 8, 3), compression="gzip")
    with pytest.raises(PackFormatError, match="other tools have stored its images anew"):
        _ = Pack(path).header
