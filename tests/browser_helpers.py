"""Pages in headless Chromium, and what they ask for and complain of."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def chromium():
    """A browser; the test skips, saying what is missing, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium here (name one by the environment variable CHROMIUM)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, file: Path, width: int = 360, scheme: str = "light"):
    """A page of this width, with the lists ``complaints`` and ``requests`` of what it says and loads."""
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()


def require_quiet(browser, page_file, scheme):
    """The page loads nothing but itself, and complains of nothing."""
    with opened(browser, page_file, 1200, scheme) as page:
        page.wait_for_load_state("networkidle")
        assert page.complaints == []
        assert [url for url in page.requests if not url.startswith("data:")] == [page_file.as_uri()]


def require_no_sideways_scrolling(browser, page_file, width):
    """With all details open, the page is no wider than the window, and nothing outside a box of its own stands out."""
    with opened(browser, page_file, width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert sizes[0] <= sizes[1]
        outside = page.evaluate(
            """[...document.querySelectorAll('main *')].filter(one => !one.closest('.box') && !one.closest('svg')
               && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length"""
        )
        assert outside == 0


CONTRAST = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const alpha = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
  };
  const behind = one => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(numbers(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = {ratio: 99};
  for (const one of document.querySelectorAll('body *')) {
    if (one.closest('svg') || one.matches('td.zero') || !one.checkVisibility()) continue;
    if (![...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    const below = behind(one), ink = over(numbers(getComputedStyle(one).color), below);
    const [high, low] = [light(ink), light(below)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < worst.ratio) worst = {ratio, text: one.textContent.slice(0, 40), name: one.className};
  }
  return worst;
}"""
