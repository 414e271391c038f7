"""Pages as text, and what is written into them to break out."""

from __future__ import annotations

import html.parser

import numpy as np
import pandas as pd

from prebake.metrics import grade
from report_helpers import THRESHOLDS

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u202e=cmd'


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text outside the style sheet."""

    VOID = frozenset({"col", "meta", "link", "img", "br", "circle", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def require_shown_as_text(page):
    """What hostile names and paths say is text on the page, and a quoted word of a command."""
    assert not page.all("script")
    assert not page.all("b")
    assert not any("onerror" in attributes for attributes in page.all("img"))
    assert "<script>alert(1)</script>" in page.text
    assert "'/data/it'\"'\"'s; rm -rf $HOME.h5'" in page.text


def table_of(labels, raw):
    ids = [f"id{number}" for number in range(len(labels))]
    table = pd.DataFrame({"id_code": ids, "pack": "p", "label": labels, "raw": raw})
    return table.assign(diagnosis=grade(np.nan_to_num(raw), THRESHOLDS))
