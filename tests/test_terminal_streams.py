"""What is printed is text: nothing in it is obeyed by a terminal."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from prebake import terminal
from prebake.terminal.streams import _Notes

if TYPE_CHECKING:
    import pytest

HOSTILE = "id\x1b[2J\x1b]0;title\x07\r\x9b31m\u202egnp\ud800"


def test_nothing_that_is_printed_is_obeyed_by_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(HOSTILE)
    terminal.complain(HOSTILE)
    _Notes().emit(logging.LogRecord("prebake", logging.WARNING, "", 0, "%s", (HOSTILE,), None))
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not set(text) & set("\x1b\x07\r\x9b\u202e\ud800")
        assert "id\\u001b[2J" in text


def test_plain_text_tables_and_json_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Käse\t1\n\N{GREEK SMALL LETTER ALPHA} \N{MULTIPLICATION SIGN}"
    terminal.say(text)
    assert capsys.readouterr().out == text + "\n"
    terminal.say(json.dumps({"id": HOSTILE}, ensure_ascii=False))
    assert json.loads(capsys.readouterr().out) == {"id": HOSTILE}
