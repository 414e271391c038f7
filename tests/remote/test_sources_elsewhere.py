"""Photographs by URL: the same samples and packs as from the same files here, whatever the server does."""

from __future__ import annotations

import os
import random
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import packing_helpers as helpers
from packing_helpers import photograph, photographs, recipe
from prebake.errors import PackFailures, SourceError
from prebake.packing import pack, repair
from prebake.remote import files
from prebake.sources import read_ahead, read_bytes, scan, survey, tables

if TYPE_CHECKING:
    from prebake.store import Pack

OPTIONS = {"recipe": "resize", "size": 16, "codec": "zstd", "progress": False}


@pytest.fixture
def eyes(tmp_path) -> Path:
    folder = photographs(tmp_path / "here" / "my eyes", range(12))
    lines = [f"p{number:03d},{number % 3}" for number in range(12)]
    (folder / "train.csv").write_text("\n".join(["id_code,diagnosis", *lines]))
    return folder


def packed(source: Path | str, target: Path) -> Pack:
    """Pack in this process: nothing has to be started."""
    with ThreadPoolExecutor(1) as threads:
        return pack(source, target, executor=threads, **OPTIONS)


def archive(folder: Path, kind: str) -> Path:
    target = folder.with_name(f"eyes.{kind}")
    if kind == "tar":
        with tarfile.open(target, "w") as made:
            made.add(folder, ".")
        return target
    with zipfile.ZipFile(target, "w") as made:
        for number, path in enumerate(sorted(folder.iterdir())):
            made.write(path, path.name, compress_type=(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
    return target


def photographs_asked(faults) -> list[str]:
    return [path.rpartition("/")[2] for method, path, _ in faults.asked if method == "GET" and path.endswith(".png")]


def test_a_pack_from_elsewhere_has_the_bytes_of_one_from_here_and_is_updated_as_that(server, eyes, tmp_path):
    url = server.upload(eyes, "data/my eyes")
    local = packed(eyes, tmp_path / "here.h5")
    faults = server.harm()
    made = pack(url, tmp_path / "there.h5", workers=2, **OPTIONS)
    assert made.path.read_bytes() == local.path.read_bytes()
    assert len(made) == 12
    assert sorted(photographs_asked(faults)) == sorted(f"p{number:03d}.png" for number in range(12))
    before = made.path.stat().st_mtime_ns
    faults = server.harm()
    packed(url, tmp_path / "there.h5")
    assert made.path.stat().st_mtime_ns == before
    assert photographs_asked(faults) == []
    other = photograph(eyes / "p005.png", 77)
    server.put("data/my eyes/p005.png", other.read_bytes())
    faults = server.harm()
    packed(url, tmp_path / "there.h5")
    assert set(photographs_asked(faults)) == {"p005.png"}
    assert made.path.read_bytes() == packed(eyes, tmp_path / "here.h5").path.read_bytes()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_read_by_range_with_two_requests_a_photograph(server, eyes, kind):
    server.put(f"eyes.{kind}", archive(eyes, kind).read_bytes())
    here, there = scan(archive(eyes, kind)), scan(server.url(f"eyes.{kind}"))
    assert [(one.id, one.label, one.path, one.size) for one in there] == [
        (one.id, one.label, one.path, one.size) for one in here
    ]
    faults = server.harm()
    assert [read_bytes(one) for one in there] == [read_bytes(one) for one in here]
    assert len(faults.asked) == 2 * len(there)
    assert faults.sent < sum(one.size + 2000 for one in there)
    server.put(f"eyes.{kind}", archive(eyes, kind).read_bytes() + b"\0" * 512)
    with pytest.raises(SourceError, match="has changed since it was listed"):
        read_bytes(there[3])


def test_an_archive_that_cannot_be_listed_is_not_said_to_be_damaged(server, eyes):
    (eyes / "long.png").write_bytes(random.Random(0).randbytes(1_000_000))
    server.put("eyes.zip", archive(eyes, "zip").read_bytes())
    faults = server.harm(harm="cut", at=lambda number: number > 1)
    with pytest.raises(SourceError, match=r"cannot read .*eyes.zip: no whole answer"):
        scan(server.url("eyes.zip"))
    assert faults.harmed >= 4
    server.harm()
    server.put("eyes.zip", archive(eyes, "zip").read_bytes()[:-90])
    with pytest.raises(SourceError, match="damaged or cut short"):
        scan(server.url("eyes.zip"))


def test_of_a_table_that_is_too_large_no_more_is_read_than_shows_it(server, eyes, monkeypatch):
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 1000)
    server.put("large.csv", b"id_code,diagnosis\n" + b"p003,4\n" * 100_000)
    (eyes / "large.csv").touch()
    os.truncate(eyes / "large.csv", 1 << 40)
    faults = server.harm()
    for path in (server.url("large.csv"), eyes / "large.csv"):
        with pytest.raises(SourceError, match="too large to be a table"):
            survey(eyes, labels=path)
    assert faults.sent < 10_000


def test_a_table_and_a_single_photograph_may_have_urls_of_their_own(server, eyes):
    url = server.upload(eyes, "eyes")
    server.put("tables/other.csv", b"id_code,diagnosis\np003,4\np001,2\n")
    found = survey(url, labels=server.url("tables/other.csv"))
    assert [(sample.id, sample.label) for sample in found.samples] == [("p003", 4), ("p001", 2)]
    assert len(found.unlisted) == 10
    (alone,) = scan(f"{url}/p007.png")
    assert (alone.id, alone.source) == ("p007", "eyes")
    assert read_bytes(alone) == (eyes / "p007.png").read_bytes()
    both = scan([url, eyes])
    assert {sample.source for sample in both} == {"eyes", "my eyes"}
    with pytest.raises(SourceError, match="named twice"):
        scan([url, f"{url}/"])


def test_what_is_changed_or_gone_since_it_was_listed_is_told(server, eyes):
    url = server.upload(eyes, "eyes")
    samples = {sample.id: sample for sample in scan(url)}
    server.put("eyes/p001.png", photograph(eyes / "other.png", 99).read_bytes())
    server.put("eyes/p002.png", b"short")
    server.remove("eyes/p003.png")
    for name, what in {"p001": "another version", "p002": "another version", "p003": "is gone"}.items():
        with pytest.raises(SourceError, match=what) as told:
            read_bytes(samples[name])
        assert f"{name} ({url}/{name}.png)" in str(told.value)
    assert read_bytes(samples["p004"]) == (eyes / "p004.png").read_bytes()


@pytest.mark.parametrize("harm", ["503", "429", "cut", "reset"])
def test_what_passes_is_tried_again(server, eyes, harm):
    samples = scan(server.upload(eyes, "eyes"))
    faults = server.harm(harm=harm, first=2)
    with read_ahead(samples) as read:
        assert [read(sample) for sample in samples] == [(eyes / f"{one.id}.png").read_bytes() for one in samples]
    assert faults.harmed >= 2 * len(samples)
    faults = server.harm(harm=harm, first=1)
    assert [sample.id for sample in scan(server.url("eyes"))] == [sample.id for sample in samples]
    assert faults.harmed


@pytest.mark.parametrize("harm", ["cut", "reset", "hang"])
def test_what_does_not_pass_ends_soon_and_is_told(server, eyes, harm, monkeypatch):
    samples = scan(server.upload(eyes, "eyes"))
    whole = files.SECONDS
    monkeypatch.setattr(files, "SECONDS", 0.4)
    faults = server.harm(harm=harm, at=lambda _: True)
    with pytest.raises(SourceError, match=r"p000 \(.*cannot be read: no whole answer, asked 4 times"):
        read_bytes(samples[0])
    assert 4 <= len(faults.asked) <= 24  # aiohttp and botocore ask again, too; and it is asked whether it has changed
    server.harm()
    monkeypatch.setattr(files, "SECONDS", whole)
    assert read_bytes(samples[0]) == (eyes / "p000.png").read_bytes()


@pytest.mark.parametrize("status", ["403", "404"])
def test_what_cannot_be_had_is_told_at_once(server, eyes, status):
    url = server.upload(eyes, "eyes")
    (sample, *_) = scan(url)
    faults = server.harm(harm=status, at=lambda _: True)
    said = {"403": r"access denied\n.*docs/remote.md", "404": "is gone"}[status]
    with pytest.raises(SourceError, match=said):
        read_bytes(sample)
    assert len(faults.asked) <= 3
    with pytest.raises(SourceError, match={"403": "access denied", "404": "there is no"}[status]):
        scan(url)
    server.harm()
    with pytest.raises(SourceError, match="there is no"):
        scan(server.url("nothing/here"))


def test_a_photograph_that_cannot_be_read_is_named_and_the_next_call_tries_it_alone(server, eyes, tmp_path):
    url = server.upload(eyes, "eyes")
    faults = server.harm(harm="cut", at=lambda _: True, only="p004.png")
    with pytest.raises(PackFailures) as told:
        packed(url, tmp_path / "eyes.h5")
    (failure,) = told.value.failures
    assert (failure.id, failure.path) == ("p004", "eyes/p004.png")
    assert failure.reason.startswith("cannot be read: no whole answer, asked 4 times")
    assert "://" not in failure.reason
    assert faults.harmed >= 4
    faults = server.harm()
    made = packed(url, tmp_path / "eyes.h5")
    assert set(photographs_asked(faults)) == {"p004.png"}
    assert len(made) == 12


@pytest.mark.parametrize("server", ["web"], indirect=True)
def test_a_server_that_hangs_costs_the_photograph_its_time_and_no_other(server, eyes, tmp_path):
    url = server.upload(eyes, "eyes")
    server.harm(harm="hang", at=lambda _: True, only="p004.png")
    with pytest.raises(PackFailures) as told:
        pack(url, tmp_path / "eyes.h5", workers=2, time_limit=5, **OPTIONS)
    assert [(failure.id, failure.reason) for failure in told.value.failures] == [
        ("p004", "it took longer than the time limit of 5 s")
    ]


def test_reading_ahead_asks_for_few_at_once_and_waits_do_not_count_for_others(server, eyes):
    samples = scan(server.upload(eyes, "eyes"))
    faults = server.harm(delay=0.05)
    with read_ahead(samples) as read:
        first = read(samples[0])
    assert first == (eyes / "p000.png").read_bytes()
    assert 1 < faults.busiest <= 8
    assert len(faults.asked) < 2 * len(samples)


@pytest.mark.parametrize("server", ["web"], indirect=True)
def test_a_pack_is_repaired_from_elsewhere(server, eyes, tmp_path):
    made = pack(eyes, tmp_path / "eyes.h5", workers=1, recipe=recipe(helpers.shrink), codec="raw", progress=False)
    whole, at = made.path.read_bytes(), int(made._structure.offsets[3])
    made.path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    from prebake.recipe import allow_function

    allow_function("packing_helpers:shrink")
    assert repair(made.path, server.upload(eyes, "my eyes"), workers=1, progress=False) == ["p003"]
    assert made.path.read_bytes() == whole
