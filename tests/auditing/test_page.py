"""The page, the lines and the JSON of an audit."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from browser_helpers import chromium, opened
from duplicates_helpers import picture, row, write
from prebake.auditing import audit
from prebake.cli import main
from prebake.report import write_audit

EVIL = "<script>alert(1)</script>[red]"


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packs with copies, conflicts, two splits, and names that would do harm."""
    folder = tmp_path_factory.mktemp("packs")
    rows = [row(n, width=1000 + 500 * (n % 5), split="train", source=EVIL, group=f"{EVIL}{n}") for n in range(70)]
    rows.append(row(0, id=EVIL, label=2.0, image=picture(0), split="train", source=EVIL))
    test = [row(n, split="test", width=900) for n in range(70, 100)]
    return [write(folder / "train.h5", rows), write(folder / "test.h5", test)]


@pytest.fixture(scope="module")
def page_file(packs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audit(audit(packs), tmp_path_factory.mktemp("page") / "new" / "audit.html")


def test_the_page_escapes_what_comes_from_data_and_holds_everything(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count('src="data:image/jpeg;base64,') == 2
    assert "http:" not in text
    assert "https:" not in text
    for words in ("Findings", "Copies", "Shortcuts", "Shift", "Photographs", "different labels"):
        assert words in text


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [320, 360, 1200])
def test_the_page_fits_and_neither_loads_nor_complains(browser, page_file: Path, width: int) -> None:
    with opened(browser, page_file, width) as page:
        page.wait_for_load_state("networkidle")
        sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        shown = page.evaluate("[...document.images].filter(one => one.complete && one.naturalWidth > 0).length")
        assert page.complaints == []
        assert [url for url in page.requests if not url.startswith("data:")] == [page_file.as_uri()]
    assert sizes[0] <= sizes[1]
    assert shown == 2


def test_the_lines_fit_a_terminal_and_findings_are_no_error(packs: list[Path], tmp_path: Path, capsys) -> None:
    assert main(["audit", *map(str, packs), "-o", str(tmp_path / "pictures")]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert text.startswith("train, test: 101 photographs\n! 1 cluster of copies has different labels: p000 (0) =")
    assert "What alone predicts the grade: all photographs (101 with a label)\n" in text
    assert "What alone tells split train from test (71 and 30)\n" in text
    assert EVIL in text.replace("\n", "").replace(" ", ""), "names are shown as they are"
    assert text.endswith(f"wrote 1 pictures into {tmp_path / 'pictures'}\n")


def test_json_is_all_that_is_printed(packs: list[Path], tmp_path: Path, capsys) -> None:
    assert main(["audit", str(packs[1]), "--json", "-o", str(tmp_path / "audit.html")]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["packs"][0]["name"] == "test"
    assert (tmp_path / "audit.html").is_file()


def test_an_output_that_is_neither_page_nor_folder_is_refused(packs: list[Path], tmp_path: Path, capsys) -> None:
    assert main(["audit", str(packs[1]), "-o", str(tmp_path / "audit.png")]) == 2
    assert "a .html or a folder" in capsys.readouterr().err


def test_the_page_is_opened_where_there_is_one(packs: list[Path], tmp_path: Path, monkeypatch, capsys) -> None:
    seen = []
    monkeypatch.setattr(webbrowser, "open", lambda address: seen.append(address) or True)
    assert main(["audit", str(packs[1]), "-o", str(tmp_path / "audit.html"), "--open"]) == 0
    assert seen == [(tmp_path / "audit.html").as_uri()]
    for words in (["-o", str(tmp_path / "pictures")], [], ["-o", str(tmp_path / "audit.html"), "--json"]):
        assert main(["audit", str(packs[1]), "--open", *words]) == 2
    assert "-o audit.html, without --json" in capsys.readouterr().err
    assert len(seen) == 1
