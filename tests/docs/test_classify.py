"""The page that classifies images, in a real browser."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tools.c_targets.browser import MODEL, MODULE, MOST_BYTES, WEIGHTS, origin
from training.data import CIFAR10_SAMPLE

LAYERS = "#layers figure canvas"


@pytest.fixture
def page(browser):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get("about:blank")
    browser.get_log("performance")  # forget what other pages asked for
    browser.get(f"{browser.root}classify/")
    WebDriverWait(browser, 30).until(lambda opened: opened.find_elements("css selector", LAYERS))
    return browser


def shown(page):
    """Return the classes and probabilities in the table."""
    rows = [row.text.split() for row in page.find_elements("css selector", "#top tr")]
    return [(row[0], float(row[1])) for row in rows]


def keras(model, pixels):
    """The five likeliest classes and their probabilities in percent."""
    batch = zoo.preprocess_input(pixels, WEIGHTS)[None]
    best = zoo.decode_predictions(model(batch, training=False), top=5, weights=WEIGHTS, model=MODEL)
    return [(name, 100 * float(score)) for _, name, score in best[0]]


def test_the_module_is_of_the_weights_and_kernels_here():
    made = json.loads(MODULE.with_suffix(".json").read_text(encoding="utf-8"))
    assert {key: made[key] for key in origin()} == origin(), "run python -m tools.c_targets.browser"
    assert MODULE.stat().st_size < MOST_BYTES


def test_samples_get_keras_five_likeliest_classes(page):
    model = zoo.get_model(MODEL, weights=WEIGHTS)
    buttons = page.find_elements("css selector", "#samples button")
    assert len(buttons) == 20
    for button in buttons[::3]:
        page.execute_script("document.getElementById('top').replaceChildren()")
        button.click()
        wait_for(page, lambda: len(shown(page)) == 5)
        name, position = button.get_attribute("title"), buttons.index(button) % 2
        file = sorted((CIFAR10_SAMPLE / name).glob("*.png"))[position]
        expected = keras(model, tf.io.decode_png(file.read_bytes(), 3).numpy())
        assert [each for each, _ in shown(page)] == [each for each, _ in expected]
        assert np.allclose([p for _, p in shown(page)], [p for _, p in expected], atol=0.1)
        assert button.get_attribute("aria-pressed") == "true"
        status = page.find_element("id", "time").text
        assert re.search(r"in \d+\.\d\d milliseconds", status) and f"labelled {name}" in status


def wait_for(page, condition):
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(page, 20).until(lambda _: condition())


def test_layers_show_the_signs_that_keras_has(page):
    """The first convolution's map, pixel by pixel; for all maps, their number and sizes."""
    model = zoo.get_model(MODEL, weights=WEIGHTS)
    convolutions = [each for each in model.layers if getattr(each, "input_quantizer", None)]
    pictures = page.find_elements("css selector", LAYERS)
    assert len(pictures) == len(convolutions) > 10
    name = page.find_element("css selector", "#samples [aria-pressed=true]").get_attribute("title")
    file = min((CIFAR10_SAMPLE / name).glob("*.png"))
    batch = zoo.preprocess_input(tf.io.decode_png(file.read_bytes(), 3).numpy(), WEIGHTS)[None]
    first = tf.keras.Model(model.inputs, convolutions[0].input)(batch, training=False)[0].numpy()
    data = page.execute_script(
        "const c = arguments[0];"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]",
        pictures[0],
    )
    image = np.reshape(data, (4 * 33 - 1, 4 * 33 - 1, 4))[..., 0]
    tiles = [image[y : y + 32, x : x + 32] for y in range(0, 131, 33) for x in range(0, 131, 33)]
    assert np.array_equal(np.stack(tiles, -1) > 128, first >= 0)
    captions = [each.text for each in page.find_elements("css selector", "#layers figcaption")]
    for caption, layer in zip(captions, convolutions, strict=True):
        height, width, channels = layer.input.shape[1:]
        assert f"{channels} channels of {height}x{width}" in caption


def test_a_file_and_one_that_is_no_image(page, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 200, 3), np.uint8)
    pixels[:, 76:124] = (20, 90, 220)  # the middle square
    (tmp_path / "mine.png").write_bytes(tf.io.encode_png(pixels).numpy())
    (tmp_path / "text.png").write_text("no image")
    page.find_element("id", "file").send_keys(str(tmp_path / "mine.png"))
    wait_for(page, lambda: not page.find_elements("css selector", "#samples [aria-pressed=true]"))
    middle = page.execute_script(
        "const seen = document.getElementById('seen').getContext('2d');"
        "return [...seen.getImageData(0, 0, 32, 32).data]"
    )
    assert np.ptp(np.reshape(middle, (32, 32, 4))[4:-4, 4:-4], axis=(0, 1)).max() == 0
    assert middle[4 * 528 : 4 * 528 + 3] == [20, 90, 220]
    before = shown(page)
    page.find_element("id", "file").send_keys(str(tmp_path / "text.png"))
    wait_for(page, lambda: page.find_element("id", "problem").is_displayed())
    assert "text.png is not an image" in page.find_element("id", "problem").text
    assert shown(page) == before


def test_drawing_by_pointer_and_by_keyboard(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def drawn():
        return page.execute_script(
            "const c = document.getElementById('draw');"
            "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            ".filter((_, i) => i % 4 == 1).filter((green) => green < 100).length"
        )

    canvas = page.find_element("id", "draw")
    page.find_element("id", "clear").click()
    white = shown(page)
    assert drawn() == 0
    pointer = ActionChains(page).move_to_element(canvas).click_and_hold()
    pointer.move_by_offset(40, 20).release().perform()
    by_pointer = drawn()
    assert by_pointer > 300 and shown(page) != white
    page.find_element("id", "clear").click()
    canvas.send_keys(Keys.ARROW_LEFT * 3, " ", Keys.ARROW_DOWN * 8, " ")
    assert drawn() > 300 and shown(page) != white


def test_every_control_is_reached_by_tab_and_has_a_name(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    controls = page.find_elements("css selector", ".classify :is(input, button, canvas[tabindex])")
    assert len(controls) > 20 and all(each.accessible_name for each in controls)
    controls[0].send_keys("")
    reached = []
    for _ in controls:
        reached.append(page.switch_to.active_element.id)
        ActionChains(page).send_keys(Keys.TAB).perform()
    assert reached == [each.id for each in controls]
    controls[4].send_keys(Keys.ENTER)
    wait_for(page, lambda: controls[4].get_attribute("aria-pressed") == "true")


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_a_narrow_window_needs_no_scrolling_sideways(page, scheme):
    size = page.get_window_size()
    try:
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": 400,
                "height": 800,
                "deviceScaleFactor": 1,
                "mobile": True,
            },
        )
        page.execute_script("document.body.dataset.mdColorScheme = arguments[0]", scheme)
        wide = page.execute_script(
            "return [...document.querySelectorAll('.classify *')]"
            ".filter((e) => e.getBoundingClientRect().right > innerWidth).length"
        )
        assert wide == 0
        text = page.find_element("id", "time").value_of_css_property("color")
        assert text != page.find_element("css selector", "body").value_of_css_property(
            "background-color"
        )
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.set_window_size(size["width"], size["height"])


def test_no_error_and_no_request_but_for_the_pages_files(page):
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    asked = set()
    for entry in page.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    assert asked and all(
        url.startswith((page.root, "data:", "about:", "chrome:", "blob:")) for url in asked
    )
