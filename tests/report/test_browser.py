"""The report page in a real headless browser: what a reader sees, and what the page asks of the network.

Needs Chromium with chromedriver, and the packages of the extra `browser`. Without them these tests are skipped.
"""

import json
import shutil

import jobs
import pytest
from page_study import write_samples

from megan.config import paths
from megan.record import pages
from megan.report import figures
from megan.report.page import gallery

webdriver = pytest.importorskip("selenium.webdriver", reason="pip install -e '.[browser]' for the tests in a browser")
ui = pytest.importorskip("selenium.webdriver.support.ui")
axe = pytest.importorskip("axe_core_python.selenium", reason="pip install -e '.[browser]' for the tests in a browser")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here"),
    # Selenium's own: it closes its pipes late.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip
SHOWN = ("convergence", "weighting", "accuracy", "convergence_others")
NAMES = ("maml", "n_plus_1", "n_plus_1_equal", "n_plus_1_weighted", *(f"v{number}" for number in range(4)))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with everything on it: claims, short runs, a diverged seed, fakes of several moments, figures."""
    from made_up import MadeUp

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("study"))
        patch.setattr(figures, "FIGURES", {name: figures.FIGURES[name] for name in SHOWN})
        study = MadeUp(variants=NAMES, smoke=("v3",), labels={"v0": "<b>&"}, diverged={"v1": {1: 300}}, tasks=8)
        params = study.write()
        jobs.run(params, "summary")
        write_samples(params, fakes=NAMES[1:], moments=("@100", "@200", "@200.3"))
        jobs.run(params, "claims")
        folder = paths.results("quick") / "provenance"
        folder.mkdir(exist_ok=True)
        (folder / "train-maml.json").write_text(json.dumps({"device": "cpu", "wall_seconds": 9, "commit": "0" * 40}))
        jobs.run(params, "report")
        yield paths.report("quick").resolve().as_uri()


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, address):
    """Opens the page at a width, light or dark, and waits until the chart is drawn."""

    def open_page(width=1280, dark=False):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get(address)
        browser.execute_async_script(
            "const done = arguments[0], chart = document.querySelector('#chart');"
            "const wait = () => chart.dataset.drawn ? done() : setTimeout(wait, 30); wait();"
        )
        return browser

    return open_page


@pytest.fixture
def of_record(address, tmp_path, monkeypatch):
    """The folder of records with that page in it, whose library is in a file of its own, and the page's address."""
    monkeypatch.chdir(tmp_path)
    page = paths.RECORD / "quick" / pages.NAME
    page.parent.mkdir(parents=True)
    shutil.copyfile(address.removeprefix("file://"), page)
    pages.share_library(page)
    return paths.RECORD, page.resolve().as_uri()


def _run(browser, script):
    return browser.execute_script(f"return {script}")


def _rows(browser, cell="cells[0].textContent"):
    """Of the rows of the table that are shown: the text of the first cell, or what `cell` names."""
    rows = "[...document.querySelectorAll('#variants tbody tr')].filter(row => !row.hidden)"
    return _run(browser, f"{rows}.map(row => row.{cell})")


def _when(browser, condition):
    """The number of points in the chart, as soon as `condition` on it holds (`n`, a number)."""
    return browser.execute_async_script(
        "const done = arguments[0], chart = document.querySelector('#chart'); const wait = () => {"
        f"const n = +chart.dataset.drawn; ({condition}) ? done(n) : setTimeout(wait, 30); }}; wait();"
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (1920, False)])
def test_quiet_whole_and_no_wider_than_the_screen(opened, width, dark):
    browser = opened(width, dark)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = {
        message["params"]["request"]["url"].partition(":")[0]
        for message in asked
        if message["method"] == "Network.requestWillBeSent"
    }
    assert requests <= {"file", "data", "blob"}
    assert browser.get_log("browser") == []
    assert _run(browser, "document.documentElement.scrollWidth") <= width
    _run(browser, "document.querySelectorAll('details').forEach(one => one.open = true)")
    images = _run(
        browser,
        "[...document.images].map(i => [i.alt, i.complete && i.naturalWidth, i.getBoundingClientRect().width])",
    )
    assert len(images) >= len(NAMES) - 1 + len(SHOWN)
    assert not [image for image in images if not all(image)]
    assert _run(browser, "document.documentElement.scrollWidth") <= width
    ground = _run(browser, "getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_accessible_by_wcag_aa(opened, width, dark):
    browser = opened(width, dark)
    _run(browser, "document.querySelectorAll('details').forEach(one => one.open = true)")
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
    found = axe.Axe().run(browser, options=rules)
    assert len(found["passes"]) > 10
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]] == []


def test_the_table_sorts_and_filters(opened):
    browser = opened()
    everything = _rows(browser)
    assert len(everything) == len(NAMES)
    heads = browser.find_elements("css selector", "#variants thead button")
    heads[2].click()
    values = [float(value) for value in _rows(browser, "cells[2].dataset.value")]
    assert values == sorted(values, reverse=True)
    heads[2].click()
    assert [float(value) for value in _rows(browser, "cells[2].dataset.value")] == values[::-1]
    assert _run(browser, "document.querySelectorAll('#variants th')[2].getAttribute('aria-sort')") == "ascending"
    browser.find_element("id", "find-row").send_keys("weighted")
    assert _rows(browser) == ["N_PLUS_1_WEIGHTED"]
    assert browser.find_element("id", "rows-said").text == "1 variants"


def test_the_tier_filter(opened):
    browser = opened()
    ui.Select(browser.find_element("id", "tier")).select_by_visible_text("survey")
    assert _rows(browser) == ["V3"]


def test_the_chart_shows_the_chosen_variants(opened):
    browser = opened()
    before = _when(browser, "n > 0")
    browser.find_element("css selector", "[data-choose=none]").click()
    assert _when(browser, "n === 0") == 0
    box = browser.find_element("css selector", "input[name=variant][value=maml]")
    box.send_keys(" ")  # by keyboard
    assert 0 < _when(browser, "n > 0") < before
    assert "for 1 variant;" in browser.find_element("id", "chart").get_attribute("aria-label")


def test_pointing_at_a_curve_tells_its_numbers(opened):
    browser = opened()
    chart = browser.find_element("id", "chart")
    webdriver.ActionChains(browser).move_to_element(chart).move_by_offset(5, 5).perform()
    tip = browser.execute_async_script(
        "const done = arguments[0]; let left = 60; const t = document.querySelector('.tip');"
        "const go = () => (!t.hidden || !left--) ? done(t.innerText) : setTimeout(go, 50); go();"
    )
    assert "variant" in tip and "%" in tip and "seeds" in tip


def test_sliders_choose_the_picture(opened):
    browser = opened()
    shown = "document.querySelector('[data-card=n_plus_1]').src"
    seen = {_run(browser, shown)}
    for slider, expected in (("task", f"2 of {gallery.MOST_TASKS}"), ("meta", "200"), ("inner", "3")):
        field = browser.find_element("id", slider)
        field.send_keys("\ue014" if slider == "task" else "\ue012")  # an arrow key
        assert browser.find_element("id", f"{slider}-said").text == expected
        seen.add(_run(browser, shown))
    assert len(seen) == 4
    browser.find_element("id", "find-card").send_keys("v2")
    cards = "[...document.querySelectorAll('.card')].filter(card => !card.hidden)"
    cards = _run(browser, f"{cards}.map(card => card.querySelector('strong').textContent)")
    assert cards == ["V2"]


def test_a_claim_opens_by_keyboard(opened):
    browser = opened()
    summary = browser.find_element("css selector", "#claim-1 summary")
    summary.send_keys("\ue007")
    assert "smallest detectable effect" in browser.find_element("css selector", "#claim-1 .inside").text


def test_a_link_to_a_run_opens_what_is_folded_away(opened):
    browser = opened()
    row = browser.find_element("id", "run-train-maml")
    assert not row.is_displayed()
    browser.execute_script("location.hash = 'run-train-maml'")
    ui.WebDriverWait(browser, 10).until(lambda _: row.is_displayed())


def test_the_theme_can_be_changed(opened):
    browser = opened()
    browser.find_element("id", "theme").click()
    assert _run(browser, "getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert browser.get_log("browser") == []


def test_the_page_of_a_record_draws_with_the_library_of_the_folder_above(browser, of_record):
    folder, address = of_record
    browser.get(address)
    assert _when(browser, "n > 0") > 0
    for library in folder.glob("library-*.js"):
        library.unlink()
    browser.get(address)
    shown = "return document.querySelector('#chart').textContent"
    ui.WebDriverWait(browser, 20).until(lambda one: "needs the file library-*.js" in one.execute_script(shown))
    assert "the charting library is missing" in str(browser.get_log("browser"))
