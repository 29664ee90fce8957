"""The report in a real browser: silent, without the network, by light and dark, by keyboard, on paper, on a phone."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fabricated_records import CLASSES, RecordMaker, whole_run

from benchmarks.report import write_report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120, func_only=True)]

_CONTRAST = """
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = light(getComputedStyle(document.body).backgroundColor);
return [...document.querySelectorAll("p, td, th, a, li, h1, h2, figcaption")].map((element) => {
  const own = light(getComputedStyle(element).color);
  return (Math.max(own, ground) + 0.05) / (Math.min(own, ground) + 0.05);
}).reduce((a, b) => Math.min(a, b));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Chromium without a network, its console and its requests recorded."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, place in programs.items() if place is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} here")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1200,900"):
        options.add_argument(f"--{word}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(programs["chromedriver"])))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maker = RecordMaker()
    records = [*whole_run(maker), maker.gain("tflite_int8")]
    sheet = {name: np.full((3, 8, 8, 1), 40 * k, np.uint8) for k, name in enumerate(CLASSES)}
    return write_report(records, tmp_path_factory.mktemp("report"), sheet)


@pytest.fixture
def page(browser: Chrome, report: Path) -> Iterator[Chrome]:
    """The report, freshly opened."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(report.as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def requested(page: Chrome) -> set[str]:
    """What the page asked for, but for what it carries within itself."""
    events: list[dict[str, Any]] = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return {url for url in asked if not url.startswith("data:")}


def test_it_opens_without_a_word_and_without_a_request(page: Chrome, report: Path) -> None:
    assert page.title.startswith("What phantom leaks")
    assert page.execute_script("return document.images.length") > 0
    assert page.execute_script("return [...document.images].every((one) => one.naturalWidth > 0)")
    assert page.get_log("browser") == []
    assert requested(page) == {report.as_uri()}


def test_a_request_or_a_complaint_would_be_seen(browser: Chrome, tmp_path: Path) -> None:
    """The test above must be able to fail."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://example.invalid/x.png'><script>console.error('no')</script>")
    browser.get_log("performance")
    browser.get(bad.as_uri())
    assert "http://example.invalid/x.png" in requested(browser)
    assert browser.get_log("browser")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_by_light_and_in_the_dark(page: Chrome, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(ground[:3]) > 3 * 128) == (scheme == "light")
    # WCAG 2.2, 1.4.3: normal text.
    assert page.execute_script(_CONTRAST) >= 4.5


def test_everything_that_can_be_used_is_reached_by_the_tab_key(page: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    wanted = page.execute_script("return [...document.querySelectorAll('a[href], [tabindex=\"0\"]')].length")
    assert wanted > 5
    reached = []
    for _ in range(wanted):
        page.switch_to.active_element.send_keys(Keys.TAB)
        seen = "const one = document.activeElement; const style = getComputedStyle(one);"
        reached.append(page.execute_script(seen + "return [one.outerHTML.slice(0, 200), style.outlineStyle]"))
    assert len({html for html, _ in reached}) == wanted
    assert "Skip to the verdict" in reached[0][0]
    assert all(outline != "none" for _, outline in reached)


def test_it_prints_on_paper_with_nothing_cut_off(page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    regions = "[...document.querySelectorAll('.scroll')]"
    flows = page.execute_script(f"return {regions}.map((one) => getComputedStyle(one).overflowX)")
    assert set(flows) == {"visible"}
    printed = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 3


def test_a_small_screen_never_scrolls_sideways(page: Chrome) -> None:
    small = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", small)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
