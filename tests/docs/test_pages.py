"""The documentation's pages: complete, legible at every width, found by the search."""

import re
import sys
from pathlib import Path

import pytest

import zoo

ROOT = Path(__file__).parents[2]

WIDTHS = (400, 800, 1400)


def test_every_page_of_the_menu_is_there(site):
    pages = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    assert {
        ".",
        "quick_start",
        "papers/reactnet",
        "guides/deployment",
        "reference/python",
        "reference/commands",
        "results/accuracy",
        "explorer",
    } <= pages


def test_the_command_reference_has_every_command(site):
    from training.cli import COMMANDS

    text = (site / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    assert all(f"lqz {name}" in text for name in COMMANDS)
    assert "Sentinel" not in text and "COMMAND_" not in text
    assert "openvino,openvino-float,lce,keras" in text  # a default
    assert '<code><span class="word">--per-layer</span></code>' in text  # in one line


def test_the_reference_has_every_model_and_recipe(site):
    from training.settings.discovery import recipe_tasks

    def headings(page):
        text = (site / "reference" / page / "index.html").read_text(encoding="utf-8")
        return re.findall(r"<h[23] id=[^>]*>([^<]*)", text), text

    found, text = headings("models")
    assert [h for h in found if h in zoo.list_models()] == zoo.list_models(origin="zoo")
    assert "magnitude_aware_gradient" in text and "MODEL_" not in text
    found, text = headings("recipes")
    assert {task.name for task in recipe_tasks()} <= set(found)
    assert "crop_epochs" in text and "first_sharpness" in text and "RECIPE_" not in text


def test_no_page_asks_another_host(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for kind in ('src="http', 'rel="stylesheet" href="http', '@import "http', "url(http"):
            assert kind not in text, page


def test_every_picture_has_a_dark_side_and_is_there(site):
    found = 0
    for page in site.rglob("index.html"):
        text = page.read_text(encoding="utf-8")
        light = re.findall(r'src="([^"]+)#only-light"', text)
        dark = re.findall(r'src="([^"]+)#only-dark"', text)
        assert [name.replace(".svg", "-dark.svg") for name in light] == dark, page
        alone = [s for s in re.findall(r'<img[^>]* src="([^"]+)"', text) if s.endswith(".svg")]
        assert alone == [], page
        assert all((page.parent / name).is_file() for name in light + dark), page
        found += len(light)
    assert found >= 8  # the front page, architecture, latency, curves and four papers


def test_the_kept_picture_shows_the_recorded_latencies(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs" / "scripts"), *sys.path])
    import speed

    assert len(speed.rows()) > 5
    for name in ("accuracy_latency.svg", "accuracy_latency-dark.svg"):
        assert speed.drawn_from(ROOT / "docs" / name) == speed.digest(), "run make docs"


# Return what is wider than the page at one width: the page itself, and (wide) any cut table.
OVERFLOW = """
const page = document.documentElement;
const found = page.scrollWidth > page.clientWidth ? [`page ${page.scrollWidth}`] : [];
if (arguments[0]) {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap, .explorer .scroll")) {
    if (wrap.scrollWidth > wrap.clientWidth + 1) {
      const what = wrap.innerText.slice(0, 40);
      found.push(`table ${wrap.scrollWidth} in ${wrap.clientWidth}: ${what}`);
    }
  }
}
return found;
"""


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_a_page(site, browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    pages = sorted(path.parent.relative_to(site).as_posix() for path in site.rglob("index.html"))
    assert len(pages) > 25
    found = {}
    for page in pages:
        browser.get(f"{browser.root}{page}/")
        if wrong := browser.execute_script(OVERFLOW, width == max(WIDTHS)):
            found[page] = wrong
    assert not found


def test_the_search_finds_fine_tune(browser):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(f"{browser.root}reference/recipes/?q=fine-tune")  # the search opens with it
    results = WebDriverWait(browser, 60).until(
        lambda page: page.find_elements("css selector", ".md-search-result__item")
    )
    assert any(
        "guides/" in r.find_element("css selector", "a").get_attribute("href") for r in results
    )
