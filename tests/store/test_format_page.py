"""A reader written from docs/format.md alone, sharing no code with the one that ships."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers zstd
import numpy as np
import pytest
import xxhash

from prebake.store import CODECS
from store.packs import FAILURES, images, write

COLUMNS = [
    *("id_code", "label", "group", "source", "split", "path", "width", "height", "to_source", "source_digest"),
    *("source_bytes", "phash", "checksum", "mean", "std", "failures/id", "failures/path", "failures/reason"),
]
TEXT = ("recipe", "recipe_digest", "codec", "extra", "written_by")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rows", [0, 5])
def test_a_reader_made_from_the_page_alone_agrees(tmp_path: Path, codec: str, rows: int) -> None:
    with h5py.File(write(tmp_path / "p.h5", images(rows), codec, capacity=5, failures=FAILURES)) as file:
        attributes = {name: file.attrs[name] for name in file.attrs}
        assert set(attributes) == {*TEXT, "format", "format_version", "needs", "columns_digest", "complete"}
        assert (attributes["format"], attributes["format_version"], attributes["complete"]) == (b"prebake pack", 1, 1)
        assert set(file) == {name for name in COLUMNS if "/" not in name} | {"images", "failures"}
        digest = xxhash.xxh3_128()
        for name in TEXT:
            digest.update(name.encode() + b"=" + attributes[name] + b"\n")
        digest.update(("images=" + ",".join(map(str, file["images"].shape)) + "\n").encode())
        for name in COLUMNS:
            data = file[name]
            assert data.chunks is None
            text = h5py.check_string_dtype(data.dtype)
            if text is not None:
                assert text.encoding == "utf-8"
                assert data.id.get_type().get_strpad() == h5py.h5t.STR_NULLPAD
                kind, longest = f"S{text.length}", max(map(len, data[:]), default=1)
                assert text.length == max(longest, 1)
            else:
                kind = data.dtype.str
            digest.update(f"{name}={kind},{','.join(map(str, data.shape))}\n".encode() + data[()].tobytes())
        assert digest.hexdigest() == attributes["columns_digest"].decode()
        for i, image in enumerate(file["images"]):
            assert xxhash.xxh3_64_intdigest(image.tobytes()) == file["checksum"][i]
            assert file["mean"][i] == pytest.approx(image.astype(np.float64).mean(axis=(0, 1)), rel=1e-6)
        for name in ("recipe", "extra"):
            value = json.loads(attributes[name])
            canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert attributes[name].decode() == canonical


def test_the_page_names_every_column_and_attribute() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "format.md").read_text()
    for name in (*COLUMNS, *TEXT, "format_version", "needs", "columns_digest", "complete"):
        assert f"`{name.rpartition('/')[2]}`" in page
