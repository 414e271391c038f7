"""Files of earlier versions are kept and must stay readable; run as a script, this writes those that are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from prebake.store import CODECS, Pack

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from store.packs import FAILURES, RECIPE, kernel_2019, row, write

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
IDS_2019 = ["000c1434d8d7", "001639a390f0", "0024cdab0c1e", "0709652336e2"]


def pixels() -> np.ndarray:
    """Six images, uint8 (6, 24, 24, 3), from a formula that is the same for ever."""
    i, y, x, c = np.ogrid[:6, :24, :24, :3]
    return ((i * 37 + y * 5 + x * 3 + c * 11 + x * y % 7) % 256).astype(np.uint8)


@pytest.mark.parametrize("codec", CODECS)
def test_packs_of_format_1_are_read(codec: str) -> None:
    pack = Pack(GOLDEN / f"pack_v1_{codec}.h5")
    assert (pack.codec, len(pack), pack.shape) == (codec, 6, (24, 24, 3))
    assert (pack.read(range(6)) == pixels()).all()
    assert pack.verify() == []
    assert pack.ids == [f"id{i:04d}" for i in range(6)]
    assert pack.paths[4] == "train/ääää4.png"
    np.testing.assert_array_equal(pack.labels, np.float32([0, 1, 2, np.nan, 4, 0]))
    assert pack.to_source[1].tolist() == [[10, 0, 1 / 3], [0, 10, 4.5]]
    assert pack.phash[2] == 2**64 - 3
    assert pack.source_bytes[0] == 10_000_000_000
    assert pack.failures == FAILURES
    assert (pack.recipe_json, pack.extra) == (RECIPE, {})
    assert pack.digest == "7d83e41e4f7994d9ddf686c149b559b7"


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_rows_are_written_today_as_they_were_then(tmp_path: Path, codec: str) -> None:
    then = Pack(GOLDEN / f"pack_v1_{codec}.h5")
    now = Pack(write(tmp_path / "now.h5", pixels(), codec, failures=FAILURES))
    assert now.digest == then.digest
    assert now.columns.keys() == then.columns.keys()
    for name, values in now.columns.items():
        assert values.dtype == then.columns[name].dtype
        np.testing.assert_array_equal(values, then.columns[name])
    assert now.source_digest[0] == row(0).source_digest
    for i in range(6):
        assert bytes(now.encoded(i)) == bytes(then.encoded(i))  # type: ignore[arg-type]
    if now.written_by == then.written_by:  # the bytes of HDF5 and zstd are theirs, so they hold for the same versions
        assert now.path.read_bytes() == then.path.read_bytes()


def test_a_file_of_the_2019_kernel_is_read() -> None:
    pack = Pack(GOLDEN / "pack_kernel2019.h5")
    assert (pack.codec, pack.ids) == ("gzip", IDS_2019)
    assert (pack.read(range(4)) == pixels()[:4]).all()
    assert pack.index_of("0709652336e2") == 3
    assert pack.verify() == []
    with h5py.File(pack.path) as file:
        assert set(file) == {"images", "id_code"}
        assert not file.attrs


def test_golden_files_stay_small() -> None:
    files = sorted(GOLDEN.glob("pack*"))
    assert len(files) == 4
    assert all(path.stat().st_size < 60_000 for path in files)


if __name__ == "__main__":
    for name in CODECS:
        if not (target := GOLDEN / f"pack_v1_{name}.h5").exists():
            write(target, pixels(), name, failures=FAILURES)
    if not (target := GOLDEN / "pack_kernel2019.h5").exists():
        kernel_2019(target, pixels()[:4], ids=np.array(IDS_2019, "S12"))
