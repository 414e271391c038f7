"""The page of a cross-validation in headless Chromium: it loads nothing, fits a phone, and works without a mouse."""

from __future__ import annotations

import pytest

from browser_helpers import CONTRAST, chromium, opened, require_no_sideways_scrolling, require_quiet
from prebake.report import write_report
from report_helpers import make_cv


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    name = "a-long-name-without-a-gap" * 5
    told = [{"path": f"/data/{name}.h5", "name": name, "digest": "3f9c1d0a", "rows": 3662}]
    return write_report(make_cv(tmp_path_factory.mktemp("cv") / name, packs=told, repeats=2))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_nothing_and_complains_of_nothing(browser, page_file, scheme):
    require_quiet(browser, page_file, scheme)


@pytest.mark.parametrize("width", [320, 375, 768, 1400])
def test_no_width_needs_sideways_scrolling(browser, page_file, width):
    require_no_sideways_scrolling(browser, page_file, width)


@pytest.mark.parametrize("width", [320, 375, 768, 1400])
def test_no_word_of_a_chart_leaves_its_card(browser, page_file, width):
    with opened(browser, page_file, width) as page:
        outside = page.evaluate(
            """[...document.querySelectorAll('.card svg text')].filter(one => {
                 const text = one.getBoundingClientRect(), card = one.closest('.card').getBoundingClientRect();
                 return text.left < card.left || text.right > card.right;
               }).map(one => one.textContent)"""
        )
        assert outside == []


def test_headings_and_charts_are_there(browser, page_file):
    with opened(browser, page_file, 1200) as page:
        assert page.locator("h1").count() == 1
        for words in ("Result", "Grade by grade", "Largest errors", "Folds", "Audit of the photographs"):
            assert page.get_by_role("heading", name=words, exact=True).is_visible()
        heights = page.evaluate(
            "[...document.querySelectorAll('figure svg')].map(one => one.getBoundingClientRect().height)"
        )
        assert len(heights) == 8
        assert min(heights) > 100


def test_an_error_is_enlarged_and_more_are_shown_by_the_keyboard_alone(browser, page_file):
    with opened(browser, page_file, 1200) as page:
        first = page.locator("details.trio").first
        small = first.bounding_box()["width"]
        first.locator("summary").focus()
        page.keyboard.press("Enter")
        assert first.bounding_box()["width"] > 1.5 * small
        page.keyboard.press("Enter")
        assert first.bounding_box()["width"] == pytest.approx(small)
        more = page.get_by_text("6 more", exact=True)
        more.focus()
        page.keyboard.press("Enter")
        assert page.locator("details.trio").last.is_visible()


def test_the_first_tab_leads_past_the_contents(browser, page_file):
    with opened(browser, page_file) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_lies_behind_it(browser, page_file, scheme):
    with opened(browser, page_file, 1200, scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst


def test_it_is_printed_on_pages_of_paper(browser, page_file):
    with opened(browser, page_file, 1200) as page:
        page.emulate_media(media="print")
        assert not page.locator("nav").is_visible()
        assert len(page.pdf(format="A4")) > 10_000
