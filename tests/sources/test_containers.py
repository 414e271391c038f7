"""Folders and archives: what is listed, what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from prebake.errors import SourceError
from prebake.sources.containers import BROKEN, list_source, natural_key
from prebake.sources.reading import read_member


def members(source):
    return [file.member for file in list_source(source).photographs]


def content(source):
    listing = list_source(source)
    return {f.member: read_member(listing.root, f.member, f.size, f.stamp, f.member) for f in listing.photographs}


def tar_of(path, *entries):
    """Write a tar of (name, data or link target, type)."""
    with tarfile.open(path, "w") as archive:
        for name, data, kind in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.linkname = data
                archive.addfile(info)
    return path


def zip_of(path, *entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


# -- folders ----------------------------------------------------------------------------------------------------------


def test_natural_order_counts_and_ignores_case():
    names = ["b10.png", "B2.png", "a.png", "b2/x.png", "b2/X.png"]
    assert sorted(names, key=natural_key) == ["a.png", "B2.png", "b2/X.png", "b2/x.png", "b10.png"]


def test_links_to_files_and_folders_are_followed(make, tmp_path):
    real = make({"x/a.png": None}, name="real")
    source = make({"b.png": None})
    (source / "linked").symlink_to(real)
    (source / "c.png").symlink_to(real / "x" / "a.png")
    assert content(source) == {
        "b.png": b"bytes of b.png",
        "c.png": b"bytes of x/a.png",
        "linked/x/a.png": b"bytes of x/a.png",
    }
    (tmp_path / "all").symlink_to(source)
    assert list_source(tmp_path / "all").root == str(tmp_path / "all")


def test_two_links_to_one_folder_list_it_twice(make, tmp_path):
    real = make({"a.png": None}, name="real")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("test", "train"):
        (source / name).symlink_to(real)
    assert members(source) == ["test/a.png", "train/a.png"]


def test_links_in_a_ring_end(make):
    source = make({"x/a.png": None, "y/b.png": None})
    (source / "x" / "self").symlink_to(source / "x")
    (source / "x" / "up").symlink_to(source)
    (source / "y" / "across").symlink_to(source / "x")
    assert members(source) == ["x/a.png", "y/across/a.png", "y/b.png"]


def test_a_maze_of_links_is_refused_instead_of_walked_for_ever(tmp_path):
    folders = [tmp_path / "maze" / str(n) for n in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in folders:
        for other in folders:
            if other is not folder:
                (folder / other.name).symlink_to(other)
    with pytest.raises(SourceError, match="symbolic links lead to"):
        list_source(tmp_path / "maze")


def test_a_broken_link_is_listed_as_broken_and_a_pipe_is_not_listed(make, tmp_path):
    source = make({"a.png": None})
    (source / "b.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(source / "c.png")
    (source / "d.png").symlink_to("d.png")
    (source / "e.png").symlink_to("a.png/under a file")
    (source / "round").symlink_to("round")
    assert [(f.member, f.size == BROKEN) for f in list_source(source).photographs] == [
        ("a.png", False),
        ("b.png", True),
        ("d.png", True),
        ("e.png", True),
    ]


def test_a_folder_that_may_not_be_read_is_an_error(make, monkeypatch):
    source = make({"x/a.png": None})
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "x":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"cannot read .*/x: Permission denied"):
        list_source(source)


def test_what_is_not_there_or_no_source_says_so(make, tmp_path):
    with pytest.raises(SourceError, match="there is no"):
        list_source(tmp_path / "none")
    with pytest.raises(SourceError, match="is not a source"):
        list_source(make({"a.txt": "hello"}) / "a.txt")
    with pytest.raises(SourceError, match="neither a folder nor a file"):
        list_source("/dev/null")


def test_a_listing_asks_for_the_status_of_each_folder_once_and_of_no_other_path(make, monkeypatch):
    source = make({f"{folder}/{number}.png": None for folder in "ab" for number in range(20)})
    asked = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: asked.append(Path(path).name) or real(path, **options))
    listing = list_source(source)
    assert sorted(asked) == ["a", "b", "data", "data"]
    assert len(listing.photographs) == 40


# -- zip --------------------------------------------------------------------------------------------------------------


def test_zip_members_with_the_size_at_the_end_or_in_64_bits_are_read(tmp_path):
    class Stream(io.RawIOBase):
        """A target that cannot seek, so that sizes follow the data."""

        def __init__(self, file):
            self.file = file

        def writable(self):
            return True

        def write(self, data):
            return self.file.write(data)

    path = tmp_path / "a.zip"
    data = os.urandom(700_000)
    with path.open("wb") as file, zipfile.ZipFile(Stream(file), "w") as archive:
        archive.writestr("stored.png", data, zipfile.ZIP_STORED)
        archive.writestr("deflated.png", data * 2, zipfile.ZIP_DEFLATED)
        with archive.open("large.png", "w", force_zip64=True) as member:
            member.write(data)
    assert content(path) == {"deflated.png": data * 2, "large.png": data, "stored.png": data}


def test_a_zip_behind_other_bytes_and_with_a_comment_is_read(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("x.png", b"pixels"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a comment"
    assert content(path) == {"x.png": b"pixels"}


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("x.png", b"pixels"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"is encrypted \(x.png\)"):
        list_source(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_compression_in_a_zip_is_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("x.png", b"pixels" * 100)
    with pytest.raises(SourceError, match="compression method"):
        list_source(tmp_path / "a.zip")


def test_a_name_twice_in_a_zip_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zip_of(tmp_path / "a.zip", ("x.png", b"1"), ("x.png", b"2"))
    with pytest.raises(SourceError, match=r"holds x.png twice"):
        list_source(path)


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png", "C:x.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_leads_out_of_its_archive_is_refused(tmp_path, name, kind):
    if kind == "zip":
        path = zip_of(tmp_path / "a.zip", (name, b"pixels"))
    else:
        path = tar_of(tmp_path / "a.tar", (name, b"pixels", tarfile.REGTYPE))
    with pytest.raises(SourceError, match="leads out of it"):
        list_source(path)


def test_names_with_backslashes_in_a_zip_are_folders(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("train\\x.png", b"pixels"))
    assert content(path) == {"train/x.png": b"pixels"}


@pytest.mark.parametrize(
    ("written", "read"), [("\u00e9\u8840.png".encode(), "\u00e9\u8840.png"), (b"\x82xx.png", "\u00e9xx.png")]
)
def test_names_of_a_zip_without_the_flag_of_utf8_are_utf8_where_they_can_be_and_else_cp437(tmp_path, written, read):
    archive = tmp_path / "mac.zip"
    placeholder = "x" * len(written)
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(placeholder, b"1")
    archive.write_bytes(archive.read_bytes().replace(placeholder.encode(), written))
    assert members(archive) == [read]


def test_links_in_a_zip_are_followed(tmp_path):
    link = zipfile.ZipInfo("train/x.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zip_of(tmp_path / "a.zip", ("all/x.png", b"pixels"), (link, "../all/x.png"))
    assert content(path) == {"all/x.png": b"pixels", "train/x.png": b"pixels"}


@pytest.mark.parametrize("keep", [30, 200, -10])
def test_a_zip_that_is_cut_short_is_refused(tmp_path, keep):
    path = zip_of(tmp_path / "a.zip", ("x.png", b"pixels" * 100))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="damaged or cut short"):
        list_source(path)


def test_a_piece_of_a_split_zip_tells_how_to_join(tmp_path):
    (tmp_path / "train.zip.002").write_bytes(b"the middle of something")
    with pytest.raises(SourceError, match="join the pieces"):
        list_source(tmp_path / "train.zip.002")


# -- tar --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read_with_long_and_foreign_names(tmp_path, form):
    names = ["x" * 90 + ".png", "d" * 70 + "/" + "y" * 90 + ".png"]
    names += [] if form == tarfile.USTAR_FORMAT else ["z" * 200 + ".png", "Æ/ø.png"]
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()[: len(name)]))
    assert content(tmp_path / "a.tar") == {name: name.encode()[: len(name)] for name in names}


def test_links_in_a_tar_are_followed_and_broken_ones_told(tmp_path):
    path = tar_of(
        tmp_path / "a.tar",
        ("./all/x.png", b"pixels", tarfile.REGTYPE),
        ("./hard.png", "./all/x.png", tarfile.LNKTYPE),
        ("./train/soft.png", "../all/x.png", tarfile.SYMTYPE),
        ("./train/chain.png", "soft.png", tarfile.SYMTYPE),
    )
    assert content(path) == dict.fromkeys(("all/x.png", "hard.png", "train/soft.png", "train/chain.png"), b"pixels")
    ring = (
        ("a.png", "b.png", tarfile.SYMTYPE),
        ("b.png", "a.png", tarfile.SYMTYPE),
        ("out.png", "/etc/passwd", tarfile.SYMTYPE),
    )
    assert [f.size for f in list_source(tar_of(tmp_path / "b.tar", *ring)).photographs] == [BROKEN] * 3


def test_the_last_of_two_tar_members_of_one_name_counts(tmp_path):
    path = tar_of(tmp_path / "a.tar", ("x.png", b"old", tarfile.REGTYPE), ("x.png", b"new", tarfile.REGTYPE))
    assert content(path) == {"x.png": b"new"}


@pytest.mark.parametrize(("suffix", "compress", "command"), [
    ("tar.gz", gzip.compress, "gunzip"), ("tar.bz2", bz2.compress, "bunzip2"), ("tar.xz", lzma.compress, "unxz"),
    ("tar", gzip.compress, "gunzip"),
])  # fmt: skip
def test_a_compressed_tar_tells_how_to_convert_it(make, tmp_path, suffix, compress, command):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(compress(make({"a.png": None}, "tar").read_bytes()))
    with pytest.raises(SourceError, match=f"what to do: {command} --keep"):
        list_source(path)


@pytest.mark.parametrize("keep", [512 + 300, 512 + 1024, 512 + 1024 + 512])
def test_a_tar_that_is_cut_short_is_refused(tmp_path, keep):
    path = tar_of(tmp_path / "a.tar", ("x.png", b"p" * 1000, tarfile.REGTYPE), ("y.png", b"p" * 1000, tarfile.REGTYPE))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="damaged or cut short"):
        list_source(path)


def test_a_tar_with_a_damaged_header_in_the_middle_is_refused(tmp_path):
    path = tar_of(tmp_path / "a.tar", ("x.png", b"p" * 100, tarfile.REGTYPE), ("y.png", b"p" * 100, tarfile.REGTYPE))
    data = bytearray(path.read_bytes())
    data[1024 + 150] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SourceError, match="damaged or cut short"):
        list_source(path)
