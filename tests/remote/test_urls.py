"""What is a URL, that none with a secret gets in, and what is said where nothing can be read by URL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import prebake
from packing_helpers import photographs
from prebake.cli import main
from prebake.errors import MissingExtra, OptionError
from prebake.packing import pack
from prebake.remote import as_url, files, in_order, redact
from prebake.sources import scan

SECRET = "marker-of-a-secret"
SECRETS = [
    f"https://me:{SECRET}@127.0.0.1/eyes",
    f"s3://key:{SECRET}/with+slash@bucket/eyes.h5",
    f"https://127.0.0.1/eyes.h5?X-Amz-Signature={SECRET}",
    f"https://127.0.0.1/eyes.zip?sig={SECRET}&se=2030",
    f"https://127.0.0.1/eyes.zip?{SECRET}",
]


@pytest.mark.parametrize("path", ["a:b/c.jpg", "scans/12:30/x.png", "s3:", "C:\\eyes", "a/b://c"])
def test_a_path_with_a_colon_is_a_path(path):
    assert as_url(path) is None
    assert as_url(Path(path)) is None


def test_photographs_in_a_folder_with_a_colon_are_packed(tmp_path, monkeypatch):
    photographs(tmp_path / "s3:" / "eyes", range(3))
    monkeypatch.chdir(tmp_path)
    assert len(scan("s3:/eyes")) == len(scan(Path("s3:/eyes"))) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("file:///data/eyes", "give it as a path: /data/eyes"),
        ("simplecache::s3://bucket/eyes", "several URLs in one"),
        (Path("s3://bucket/eyes"), "give URLs as text"),
    ],
)
def test_what_is_no_url_of_ours_is_told(given, said):
    with pytest.raises(OptionError, match=said):
        as_url(given)


@pytest.mark.parametrize("url", SECRETS[1:3])
@pytest.mark.parametrize(
    "command",
    [
        ["pack", "URL", "-o", "OUT"],
        ["pack", "HERE", "-o", "URL"],
        ["pack", "HERE", "-o", "OUT", "--labels", "URL"],
        ["info", "URL"],
        ["verify", "URL"],
        ["show", "URL", "-o", "OUT"],
        ["audit", "URL"],
        ["split", "URL", "-o", "OUT"],
        ["repair", "URL", "HERE"],
        ["plan", "URL"],
        ["report", "URL"],
        ["compare", "URL", "URL"],
    ],
)
def test_no_secret_of_a_url_is_said_or_written(url, command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "eyes", range(2))
    words = {"URL": url, "HERE": str(tmp_path / "eyes"), "OUT": str(tmp_path / "out.h5")}
    assert main([words.get(word, word) for word in command]) in (1, 2)
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert said.err
    assert not [path for path in tmp_path.rglob("*") if SECRET in str(path)]


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_in_any_text_are_replaced(url):
    assert SECRET not in redact(f"note: cannot read '{url}', ({url})")


def test_ports_and_signs_in_names_are_no_secrets():
    for url in ("http://127.0.0.1:9000/bucket/left@2x.png", "s3://bucket/a:b@c.png", "s3://bucket/eyes-?.h5"):
        assert as_url(url) == redact(url) == url


def test_nothing_is_written_to_a_url(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = photographs(tmp_path / "eyes", range(2))
    with pytest.raises(OptionError, match=r"cannot write to s3://bucket/x.h5\n.*\n.*aws s3 cp"):
        pack(source, "s3://bucket/x.h5")
    assert main(["pack", str(source), "-o", "s3://bucket/x.h5"]) == 2
    assert "cannot write to s3://bucket/x.h5" in capsys.readouterr().err
    for write in (prebake.fit, prebake.cross_validate):
        with pytest.raises(OptionError, match="cannot write to s3://bucket/run"):
            write("eyes.h5", "s3://bucket/run")
    with pytest.raises(OptionError, match="cannot write to s3://bucket/run"):
        prebake.ablate(source, "s3://bucket/run", ["kernel", "crop"])
    assert [path.name for path in tmp_path.iterdir()] == ["eyes"]


def test_without_the_extra_it_is_said_what_to_install(monkeypatch, capsys, tmp_path):
    files._file_system.cache_clear()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtra, match=r"pip install 'prebake\[remote\]'"):
        scan("s3://bucket/eyes")
    assert main(["info", "https://127.0.0.1/eyes.h5"]) == 1
    assert "pip install 'prebake[remote]'" in capsys.readouterr().err


def test_a_scheme_that_nobody_knows_is_refused():
    pytest.importorskip("fsspec")
    with pytest.raises(OptionError, match="nosuch:// is not known"):
        scan("nosuch://bucket/eyes")


def test_packing_from_here_does_not_load_fsspec(tmp_path):
    source = photographs(tmp_path / "eyes", range(2))
    code = (
        "import sys; from prebake.packing import pack\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"with ThreadPoolExecutor(1) as here: pack({str(source)!r}, {str(tmp_path / 'x.h5')!r}, executor=here)\n"
        "assert 'fsspec' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_work_ahead_is_bounded_in_number_and_weight_and_errors_come_in_their_turn():
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("the third")
        return number

    ahead = in_order(work, range(100), lambda _: 10, most=8, heaviest=45)
    assert [next(ahead)() for _ in range(3)] == [0, 1, 2]
    assert len(begun) <= 3 + 4
    with pytest.raises(ValueError, match="the third"):
        next(ahead)()
    assert next(ahead)() == 4
    ahead.close()
    assert len(begun) < 12
    heavy = in_order(work, [7, 8], lambda _: 1000, most=8, heaviest=45)
    assert [result() for result in heavy] == [7, 8]
