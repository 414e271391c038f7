"""`prebake report --open`: the page is written first, then opened, or it is said that there is no browser."""

from __future__ import annotations

import webbrowser

import pytest

from prebake import cli
from report_helpers import make_cv, make_run


@pytest.fixture(params=[make_run, make_cv], ids=["a run", "a cross-validation"])
def folder(request, tmp_path):
    return request.param(tmp_path / "a folder").path


def test_the_written_page_is_opened(folder, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(webbrowser, "open", lambda address: seen.append(address) or True)
    assert cli.main(["report", str(folder), "--open"]) == 0
    assert seen == [(folder / "report.html").as_uri()]
    assert capsys.readouterr().out == f"wrote {folder / 'report.html'}\nopened {seen[0]}\n"


def refuse(address):
    raise webbrowser.Error("could not locate runnable browser")


@pytest.mark.parametrize("answer", [lambda address: False, refuse], ids=["it says no", "it raises"])
def test_no_browser_is_no_error_and_is_said(answer, tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path / "run")
    monkeypatch.setattr(webbrowser, "open", answer)
    assert cli.main(["report", str(run.path), "-o", str(tmp_path / "page.html"), "--open"]) == 0
    assert (tmp_path / "page.html").is_file()
    address = (tmp_path / "page.html").as_uri()
    assert capsys.readouterr().out.endswith(f"there is no browser here to open it in: {address}\n")


def test_nothing_is_opened_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("opened"))
    assert cli.main(["report", str(make_run(tmp_path / "run").path)]) == 0
