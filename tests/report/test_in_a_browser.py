"""The page in headless Chromium: it loads nothing, complains of nothing, and fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser_helpers import CONTRAST, chromium, opened, require_no_sideways_scrolling, require_quiet
from prebake.report import write_report
from report_helpers import make_run


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_run(tmp_path_factory.mktemp("run") / ("a-long-name-without-a-gap" * 5)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_nothing_and_complains_of_nothing(browser, page_file, scheme):
    require_quiet(browser, page_file, scheme)


@pytest.mark.parametrize("width", [320, 360, 768, 1400])
def test_no_width_needs_sideways_scrolling(browser, page_file, width):
    require_no_sideways_scrolling(browser, page_file, width)


def test_headings_pictures_and_charts_are_there(browser, page_file):
    with opened(browser, page_file) as page:
        assert page.locator("h1").count() == 1
        for words in ("Result", "Grade by grade", "Largest errors", "Training", "Photographs", "Settings and commands"):
            assert page.get_by_role("heading", name=words, exact=True).is_visible()
        page.evaluate("document.querySelectorAll('details.more').forEach(one => one.open = true)")
        loaded = page.evaluate("[...document.images].filter(one => one.complete && one.naturalWidth > 0).length")
        assert loaded == 24
        assert page.locator("svg").count() == 4
        heights = page.evaluate("[...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().height)")
        assert min(heights) > 30


def test_a_picture_is_enlarged_by_the_keyboard_alone(browser, page_file):
    with opened(browser, page_file, 1200) as page:
        small = page.locator("details.photo img").first.bounding_box()["width"]
        page.locator("details.photo summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details.photo img").first.bounding_box()["width"] > 2 * small
        page.keyboard.press("Enter")
        assert page.locator("details.photo img").first.bounding_box()["width"] == pytest.approx(small)


def test_the_first_tab_leads_past_the_contents(browser, page_file):
    with opened(browser, page_file) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_lies_behind_it(browser, page_file, scheme):
    with opened(browser, page_file, 1200, scheme) as page:
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst
