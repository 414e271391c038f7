"""Packs by URL: fetched once, verified, gone on with after any end, and never half there."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import prebake
from packing_helpers import photographs
from prebake.cli import main
from prebake.errors import NoSpace, OptionError, PackDamaged, PackError
from prebake.packing import pack
from prebake.remote import cache

if TYPE_CHECKING:
    from remote_helpers import Faults

SOURCE = Path(prebake.__file__).parents[1]
FETCHING = """
import sys, prebake
from prebake.remote import cache
cache.PIECE, cache.AHEAD = 2048, 1
prebake.open(sys.argv[1])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    pack(photographs(folder / "eyes", range(10)), folder / "eyes.h5", recipe="resize", size=32, codec="raw", workers=1)
    return folder / "eyes.h5"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(cache, "PIECE", 4096)


def got(faults: Faults) -> list[str]:
    return [ranges for method, path, ranges in faults.asked if method == "GET" and path.endswith(".h5")]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_server_that_gives_no_parts_of_files_is_told_at_once(server, made):
    server.put("eyes.h5", made.read_bytes())
    faults = server.harm(harm="whole", at=lambda _: True)
    with pytest.raises(PackError, match="gives whole files only: download it"):
        prebake.open(server.url("eyes.h5"))
    assert len(got(faults)) <= cache.AHEAD, "it is not asked again"


def test_a_pack_is_fetched_once_and_again_when_it_has_changed(server, made, tmp_path):
    server.put("packs/eyes.h5", made.read_bytes())
    faults = server.harm()
    opened = prebake.open(server.url("packs/eyes.h5"))
    assert (opened["p003"] == prebake.open(made)["p003"]).all()
    assert opened.path.read_bytes() == made.read_bytes()
    assert opened.path.is_relative_to(tmp_path / "cache")
    assert opened.name == "eyes"
    assert len(got(faults)) == -(-made.stat().st_size // 4096)
    faults = server.harm()
    loaded = [labels for _, labels in prebake.Loader(server.url("packs/eyes.h5"), batch_size=4, shuffle=False)]
    assert sum(map(len, loaded)) == 10
    assert got(faults) == []
    assert {method for method, _, _ in faults.asked} == {"HEAD"}
    other = pack(photographs(tmp_path / "eyes", range(4)), tmp_path / "o.h5", recipe="resize", size=32, workers=1)
    server.put("packs/eyes.h5", other.path.read_bytes())
    assert len(prebake.open(server.url("packs/eyes.h5"))) == 4
    assert len(opened) == 10
    assert np.array_equal(opened["p003"], prebake.open(made)["p003"])  # what is open stays what it was
    assert files_in(tmp_path / "cache") == [".eyes.h5.json", "eyes.h5"]


def test_a_pattern_means_all_files_of_a_set_and_not_some(server, tmp_path, monkeypatch):
    if server.folder is not None:
        with pytest.raises(OptionError, match="no patterns on the web"):
            prebake.open(server.url("packs/eyes-*.h5"))
        return
    monkeypatch.setattr(cache, "PIECE", 1 << 20)
    options = {"recipe": "resize", "size": 128, "codec": "raw", "workers": 1}
    whole = pack(photographs(tmp_path / "eyes", range(30)), tmp_path / "eyes.h5", max_pack_size=900_000, **options)
    for member in whole.members:
        server.put(f"packs/{member.path.name}", member.path.read_bytes())
    opened = prebake.open(server.url("packs/eyes-*.h5"))
    assert opened.ids == whole.ids
    assert len(opened.members) == len(whole.members) > 1
    assert main(["info", server.url("packs/eyes-*.h5")]) == 0
    server.remove(f"packs/{whole.members[0].path.name}")
    with pytest.raises(PackError, match=r"1 of \d files are not there"):
        prebake.open(server.url("packs/eyes-*.h5"))
    with pytest.raises(PackError, match="no file matches"):
        prebake.open(server.url("packs/ears-*.h5"))


def killed_while_fetching(url: str, folder: Path, enough: int) -> Path:
    part = None
    with subprocess.Popen(
        [sys.executable, "-c", FETCHING, url], env={**os.environ, "PYTHONPATH": str(SOURCE)}
    ) as child:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and child.poll() is None:
            part = next(folder.rglob("*.part"), None)
            if part is not None and part.stat().st_size >= enough:
                break
            time.sleep(0.01)
        assert child.poll() is None
        child.send_signal(signal.SIGKILL)
    assert part is not None
    return part


@pytest.mark.parametrize("changed", [False, True])
def test_what_was_killed_goes_on_where_it_was_unless_the_pack_has_changed(server, made, tmp_path, changed):
    data = made.read_bytes()
    server.put("eyes.h5", data)
    server.harm(delay=0.1)
    part = killed_while_fetching(server.url("eyes.h5"), tmp_path / "cache", 8192)
    done = part.stat().st_size
    assert 8192 <= done < len(data)
    assert not part.with_name("eyes.h5").exists()
    if changed:
        other = pack(photographs(tmp_path / "e", range(9)), tmp_path / "o.h5", recipe="resize", size=32, workers=1)
        data = other.path.read_bytes()
        server.put("eyes.h5", data)
    faults = server.harm()
    assert prebake.open(server.url("eyes.h5")).path.read_bytes() == data
    starts = [int(one.removeprefix("bytes=").partition("-")[0]) for one in got(faults)]
    assert min(starts) == (0 if changed else done)
    assert faults.sent == len(data) - min(starts)


@pytest.mark.parametrize("harm", ["503", "cut", "reset"])
def test_what_passes_while_a_pack_is_fetched_is_tried_again(server, made, harm):
    server.put("eyes.h5", made.read_bytes())
    faults = server.harm(harm=harm, first=1)
    assert prebake.open(server.url("eyes.h5")).path.read_bytes() == made.read_bytes()
    assert faults.harmed


def test_a_connection_that_is_lost_keeps_what_was_fetched(server, made, tmp_path):
    server.put("eyes.h5", made.read_bytes())
    server.harm(harm="cut", at=lambda number: number > 3, only="eyes.h5")
    with pytest.raises(PackError, match=r"no whole answer[^\n]*\n.*it goes on from where it was"):
        prebake.open(server.url("eyes.h5"))
    (part,) = (tmp_path / "cache").rglob("*.part")
    done = part.stat().st_size
    assert done >= 4096
    faults = server.harm()
    prebake.open(server.url("eyes.h5"))
    assert faults.sent == made.stat().st_size - done


def test_a_damaged_answer_is_told_and_fetched_once_more(server, made, tmp_path, caplog):
    server.put("eyes.h5", made.read_bytes())
    server.harm(harm="flip", at=lambda number: number == 5)
    with caplog.at_level(logging.WARNING, "prebake"):
        assert prebake.open(server.url("eyes.h5")).path.read_bytes() == made.read_bytes()
    assert "it is fetched once more" in caplog.text
    at = int(prebake.open(made)._structure.offsets[3])
    data = made.read_bytes()
    server.put("bad.h5", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    faults = server.harm()
    with pytest.raises(PackDamaged, match=r"fetched 2 times, and not whole.*1 of its images"):
        prebake.open(server.url("bad.h5"))
    assert faults.sent == 2 * len(data)
    assert [name for name in files_in(tmp_path / "cache") if "bad" in name and not name.endswith("json")] == []
    server.put("text.h5", b"not found, says this page\n" * 99)
    with pytest.raises(PackDamaged, match="fetched 2 times"):
        prebake.open(server.url("text.h5"))


def test_two_at_once_fetch_it_once(server, made, caplog):
    server.put("eyes.h5", made.read_bytes())
    faults = server.harm(delay=0.05)
    opened = []
    both = [threading.Thread(target=lambda: opened.append(prebake.open(server.url("eyes.h5")))) for _ in range(2)]
    with caplog.at_level(logging.WARNING, "prebake"):
        for one in both:
            one.start()
        for one in both:
            one.join()
    assert [len(one) for one in opened] == [10, 10]
    assert faults.sent == made.stat().st_size
    assert "waiting for it" in caplog.text


def test_without_the_server_the_copy_is_used_and_that_is_said(server, made, caplog):
    server.put("eyes.h5", made.read_bytes())
    prebake.open(server.url("eyes.h5"))
    server.harm(harm="reset", at=lambda _: True)
    with caplog.at_level(logging.WARNING, "prebake"):
        assert len(prebake.open(server.url("eyes.h5"))) == 10
    assert "the server does not answer; what was fetched from it before is used" in caplog.text
    with pytest.raises(PackError, match="no whole answer"):
        prebake.open(server.url("other.h5"))
    server.harm(harm="403", at=lambda _: True)
    with pytest.raises(PackError, match="access denied"):
        prebake.open(server.url("eyes.h5"))
    server.harm()
    server.remove("eyes.h5")
    with pytest.raises(PackError, match="there is no such pack"):
        prebake.open(server.url("eyes.h5"))


def test_room_is_looked_for_before(server, made, monkeypatch):
    server.put("eyes.h5", made.read_bytes())
    faults = server.harm()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(NoSpace, match="PREBAKE_CACHE"):
        prebake.open(server.url("eyes.h5"))
    assert got(faults) == []


def test_every_command_that_takes_a_pack_takes_its_url(server, made, tmp_path, capsys):
    server.put("eyes.h5", made.read_bytes())
    url = server.url("eyes.h5")
    for arguments in (["info"], ["verify"], ["show", "p001", "-o", str(tmp_path / "g.png")], ["audit", "--json"]):
        assert main([arguments[0], url, *arguments[1:]]) == 0, capsys.readouterr().err
    assert "all 10 images" in capsys.readouterr().out
    assert main(["repair", url, str(tmp_path)]) == 2
    assert "not on this machine" in capsys.readouterr().err
