"""The model explorer in a real browser, from a new build of the site on the loopback address."""

import pytest

from zoo import catalog
from zoo.pretrained.records import measured_top1, sets_of


@pytest.fixture
def page(browser):
    from selenium.webdriver.support.wait import WebDriverWait

    sized(browser, 1300)
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
    shipped = {r.model for r in catalog.rows() if any("(shipped)" in w for w in sets_of(r.model))}
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
            assert known and not any(cells[len(known) :])  # unknown values come last
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


def test_published_and_measured_accuracies_never_share_an_axis(page):
    choose(page, "dataset", "cifar10")
    here = {r.model: r.top1 for r in catalog.rows() if r.dataset == "cifar10"}
    published = {model for model, top1 in here.items() if top1}
    measured = {model: top1 for model, top1 in measured_top1().items() if model in here}
    assert published and measured and published != set(measured)
    assert set(texts(page, "#plot a .name")) == published
    choose(page, "accuracy", "measured here")
    labels = [a.get_attribute("aria-label") for a in page.find_elements("css selector", "#plot a")]
    found = {label.split(", ")[0]: label.split(", ")[1] for label in labels}
    assert found == {model: f"{top1:.2f} % measured here" for model, top1 in measured.items()}


@pytest.mark.parametrize("width", [1300, 400])
def test_every_point_is_named_and_reached(page, width):
    sized(page, width)
    choose(page, "dataset", "all")
    choose(page, "dataset", "imagenet")  # drawn for this width
    points = page.find_elements("css selector", "#plot a")
    assert len(points) > 20
    names = page.find_elements("css selector", "#plot a .name")
    assert len(names) == len(points)  # all are shown
    boxes = [each.rect for each in names]
    for one, first in enumerate(boxes):
        for second in boxes[:one]:
            apart = abs(first["y"] - second["y"]) >= 9 or (
                first["x"] >= second["x"] + second["width"] - 3
                or second["x"] >= first["x"] + first["width"] - 3
            )
            assert apart, (first, second)  # names do not overlap
    reached = set()
    for _ in points:  # only by the arrow keys
        page.execute_script(
            "(document.activeElement.closest('#plot') ? document.activeElement :"
            " document.querySelector('#plot a')).focus();"
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
            " {key: 'ArrowRight', bubbles: true}))"
        )
        reached.add(page.find_element("id", "point").text.split(",")[0])
    assert len(reached) == len(points)


def test_the_address_keeps_what_is_chosen(page):
    choose(page, "dataset", "cifar10")
    choose(page, "accuracy", "measured here")
    choose(page, "cost", "parameters")
    page.find_element("id", "name").send_keys("20")
    page.find_element("id", "theirs").click()
    page.find_element("css selector", "[data-sort='params']").click()
    button = next(
        b for b in page.find_elements("css selector", f"{NAMES} button") if b.text == "ReActNet20"
    )
    button.click()
    address, names = page.current_url, texts(page, NAMES)
    points = [a.get_attribute("aria-label") for a in page.find_elements("css selector", "#plot a")]
    page.get("about:blank")
    page.get(address)  # as another reader would
    assert texts(page, NAMES) == names and len(names) < len(catalog.rows())
    again = [a.get_attribute("aria-label") for a in page.find_elements("css selector", "#plot a")]
    assert again == points and "measured here" in points[0] and "million" in points[0]
    assert "ReActNet20" in page.find_element("id", "layers").text
    page.get(f"{page.root}explorer/?dataset=none&sort=nothing&cost=%22#nobody")
    assert texts(page, NAMES)  # an address may contain anything


def sized(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1300, "deviceScaleFactor": 1, "mobile": False},
    )


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
