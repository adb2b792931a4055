"""The page in a real browser that is as wide as a phone."""

import shutil

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
PROGRAMS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
if missing := [name for name, path in PROGRAMS.items() if path is None]:
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def browser(reported, tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAMS["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(flag)
    service = webdriver.ChromeService(PROGRAMS["chromedriver"])
    with webdriver.Chrome(options, service) as driver:
        phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        driver.get((reported / "report/index.html").as_uri())
        yield driver


def test_nothing_is_wider_than_a_phone(browser):
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390


def test_nothing_is_wrong_with_it(browser):
    assert browser.get_log("browser") == []


def test_a_table_is_sorted_by_a_column(browser):
    sorted_column = """
        const tables = [...document.querySelectorAll("table")];
        const table = tables.find(table => table.tBodies[0].rows.length > 4);
        const button = table.querySelector("thead th:nth-child(2) button");
        for (let n = 0; n < arguments[0]; n++) button.click();
        return [...table.tBodies[0].rows].map(row => parseFloat(row.cells[1].textContent));
    """
    once = browser.execute_script(sorted_column, 1)
    assert len(once) == 5
    assert once == sorted(once, reverse=True)
    assert browser.execute_script(sorted_column, 1) == sorted(once)
