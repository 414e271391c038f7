"""Reading bytes: right, in threads and forks, and never silently the wrong ones."""

from __future__ import annotations

import multiprocessing
import os
import threading
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import pytest

from prebake.errors import SourceError
from prebake.sources import read_bytes, reading, scan

KINDS = ("folder", "zip", "tar")


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_forked_processes_read_the_same_bytes(make, kind):
    files = {f"{n}.png": os.urandom(1000 + 37 * n) for n in range(60)}
    samples = scan(make(files, kind)) * 5
    expected = [files[sample.member] for sample in samples]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read_bytes, samples)) == expected
    if threading.active_count() == 1:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            assert list(pool.map(read_bytes, samples, chunksize=50)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_photograph_is_read_as_no_bytes(make, kind):
    (sample,) = scan(make({"a.png": b""}, kind))
    assert read_bytes(sample) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_vanished_is_an_error_with_id_and_path(make, kind):
    source = make({"a.png": None}, kind)
    (sample,) = scan(source)
    (source / "a.png" if kind == "folder" else source).unlink()
    with pytest.raises(SourceError, match=r"a \(.*a.png\) is gone"):
        read_bytes(sample)


def test_a_photograph_that_changed_its_size_is_an_error_with_id_and_path(make):
    source = make({"a.png": None})
    (sample,) = scan(source)
    for content in (b"longer than it was before", b"x"):
        (source / "a.png").write_bytes(content)
        with pytest.raises(SourceError, match=r"a \(.*/a.png\) has changed since it was listed: it had 14 bytes"):
            read_bytes(sample)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_was_written_to_is_an_error_until_it_is_scanned_again(make, kind):
    source = make({"a.png": None}, kind)
    (sample,) = scan(source)
    os.utime(source, ns=(1, 1))
    with pytest.raises(SourceError, match="has changed since it was listed: the archive was written to"):
        read_bytes(sample)
    assert read_bytes(scan(source)[0]) == b"bytes of a.png"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_flipped_byte_of_a_zipped_photograph_is_found(make, tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("x.png", bytes(range(200)) * 2)
    (sample,) = scan(tmp_path / "a.zip")
    good = (tmp_path / "a.zip").read_bytes()
    status = (tmp_path / "a.zip").stat()
    start, end = 30 + len("x.png"), good.index(b"PK\x01\x02")
    for place in range(start, end, 7):
        (tmp_path / "a.zip").write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        os.utime(tmp_path / "a.zip", ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(SourceError, match=r"x \(.*x.png\) has changed"):
            read_bytes(sample)


def test_a_zip_that_lies_about_the_size_never_fills_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(50_000_000))
    (sample,) = scan(tmp_path / "a.zip")
    with pytest.raises(SourceError, match="has not the 1000 bytes"):
        read_bytes(replace(sample, size=1000))
    with pytest.raises(SourceError, match="has not the 60000000 bytes"):
        read_bytes(replace(sample, size=60_000_000))


def test_a_file_too_large_for_a_photograph_is_not_read(make):
    source = make({"a.png": None})
    os.truncate(source / "a.png", reading.MAX_BYTES + 1)
    with pytest.raises(SourceError, match="too large to be a photograph"):
        read_bytes(scan(source)[0])


def test_a_folder_in_place_of_the_photograph_is_an_error(make):
    source = make({"a.png": None})
    (sample,) = scan(source)
    (source / "a.png").unlink()
    (source / "a.png").mkdir()
    with pytest.raises(SourceError, match=r"a \(.*a.png\) cannot be read"):
        read_bytes(sample)
