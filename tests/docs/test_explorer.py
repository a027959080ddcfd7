"""The model explorer in a real browser, from a site that was just built, served on loopback."""

import re

import pytest

import zoo
from zoo import catalog


def test_every_page_of_the_menu_is_there(site):
    pages = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    assert {".", "quick_start", "papers/reactnet", "guides/deployment", "reference/python",
            "reference/commands", "results/accuracy", "explorer", "classify"} <= pages  # fmt: skip


def test_the_command_reference_has_every_command(site):
    from training.cli import COMMANDS

    text = (site / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    assert all(f"lqz {name}" in text for name in COMMANDS)


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


@pytest.fixture
def page(browser):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get("about:blank")
    browser.get(f"{browser.root}explorer/")
    WebDriverWait(browser, 30).until(lambda opened: texts(opened, NAMES))  # its script has run
    return browser


def texts(page, selector):
    return [each.text for each in page.find_elements("css selector", selector)]


def choose(page, name, value):
    from selenium.webdriver.support.select import Select

    Select(page.find_element("id", name)).select_by_visible_text(value)


NAMES = "#models tbody th"


def test_it_opens_with_the_models_of_imagenet(page):
    expected = [row.model for row in catalog.rows() if row.dataset == "imagenet"]
    assert sorted(texts(page, NAMES)) == sorted(expected)
    assert texts(page, "#count") == [f"{len(expected)} of {len(catalog.rows())} models"]
    known = [row for row in catalog.rows() if row.dataset == "imagenet" and row.top1]
    assert len(page.find_elements("css selector", "#plot a")) == len(known)


def test_filters(page):
    choose(page, "dataset", "all")
    page.find_element("id", "name").send_keys("react")
    assert set(texts(page, NAMES)) == {row.model for row in catalog.rows("*react*")}
    page.find_element("id", "name").clear()
    page.find_element("id", "name").send_keys(" ")
    choose(page, "family", "SD-BNN")
    assert set(texts(page, NAMES)) == {r.model for r in catalog.rows() if r.family == "SD-BNN"}
    choose(page, "family", "all")
    page.find_element("id", "theirs").click()
    assert set(texts(page, NAMES)) == {row.model for row in catalog.rows(origin="zoo")}


def test_weights_filter(page):
    choose(page, "dataset", "all")
    choose(page, "weights", "shipped")
    shipped = {r.model for r in catalog.rows() if any("(shipped)" in w for w in r.weights)}
    assert set(texts(page, NAMES)) == shipped != set()


def test_accuracy_against_any_cost(page):
    from selenium.webdriver.support.select import Select

    costs = [each.text for each in Select(page.find_element("id", "cost")).options]
    assert len(costs) >= 5
    places = {}
    for cost in costs:
        choose(page, "cost", cost)
        assert f"against {cost}" in page.find_element("id", "plot-title").text
        points = page.find_elements("css selector", "#plot a[href='#ReActNetA'] circle")
        places[cost] = points and points[0].get_attribute("cx")
    assert len(set(map(str, places.values()))) > len(costs) / 2  # the points move


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_every_column_sorts_both_ways(page, by):
    from selenium.webdriver.common.keys import Keys

    choose(page, "dataset", "all")
    heads = page.find_elements("css selector", "#models thead button")
    for column, key in enumerate([head.get_attribute("data-sort") for head in heads], start=1):
        for _ in range(2):
            button = page.find_element("css selector", f"[data-sort='{key}']")
            button.click() if by == "mouse" else button.send_keys(Keys.ENTER)
            head = page.find_element("css selector", f"#models thead th:nth-child({column})")
            down = head.get_attribute("aria-sort") == "descending"
            cells = texts(page, f"#models tbody tr > :nth-child({column})")
            known = [cell for cell in cells if cell]
            assert known and not any(cells[len(known) :])  # what is not known comes last
            if "number" in head.get_attribute("class"):
                values = [float(cell.replace(",", "")) for cell in known]
            else:
                values = [cell.casefold() for cell in known]
            assert values == sorted(values, reverse=down), key
            assert page.switch_to.active_element.get_attribute("data-sort") == key


def test_every_control_has_a_name_to_be_read_aloud(page):
    controls = page.find_elements("css selector", ".explorer :is(input, select, button)")
    assert len(controls) > 10 and all(each.accessible_name for each in controls)


def test_a_model_opens_and_closes_by_keyboard_alone(page):
    from selenium.webdriver.common.keys import Keys

    button = page.find_element("css selector", f"{NAMES} button")
    name = button.text
    button.send_keys(Keys.ENTER)
    layers = page.find_element("id", "layers")
    assert layers.is_displayed() and name in layers.text
    assert page.switch_to.active_element.get_attribute("id") == "layers"
    assert page.find_elements("css selector", "#layers .bar.binary[style]")
    close = next(b for b in layers.find_elements("css selector", "button") if b.text == "Close")
    close.send_keys(Keys.ENTER)
    assert not page.find_element("id", "layers").is_displayed()
    assert page.switch_to.active_element.text == name


def test_a_points_link_opens_its_model(page):
    link = page.find_element("css selector", "#plot a[href='#ReActNetA']")
    assert "ReActNetA, 69.4 %" in link.get_attribute("aria-label")
    page.execute_script("arguments[0].dispatchEvent(new MouseEvent('click'))", link)
    assert "ReActNetA" in page.find_element("id", "layers").text


def test_no_error_and_no_request_elsewhere(page):
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    import json

    asked = set()
    for entry in page.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    assert asked and all(
        url.startswith((page.root, "data:", "about:", "chrome:", "blob:")) for url in asked
    )
