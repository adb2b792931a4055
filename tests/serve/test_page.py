"""The pages, in a real browser."""

import shlex
import shutil

import httpx
import pytest

from t5rank import cli

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
PROGRAMS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
if missing := [name for name, path in PROGRAMS.items() if path is None]:
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
QUERY = "what is a list"
LONG = "A list has items. " * 40  # the model reads 64 tokens
DOCUMENTS = ["An <b>integer</b> is a number.", LONG, "A list is a sequence.", "Names are bound."]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAMS["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(flag)
    service = webdriver.ChromeService(PROGRAMS["chromedriver"])
    with webdriver.Chrome(options, service) as driver:
        yield driver


@pytest.fixture
def page(browser, server):
    browser.get(f"{server.url}/")
    return browser


def find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser, selector):
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, selector)]


def indexes(browser, selector):
    rows = browser.find_elements(By.CSS_SELECTOR, selector)
    return [int(row.get_attribute("data-index")) for row in rows]


def wait(browser, condition):
    return WebDriverWait(browser, 30).until(lambda _: condition())


def rank(browser, documents, separator="\n"):
    find(browser, "#query").send_keys(QUERY)
    find(browser, "#documents").send_keys(separator.join(documents))
    find(browser, "#rank").click()
    wait(browser, lambda: find(browser, "#results").get_attribute("aria-busy") == "false")


def test_documents_are_ranked_as_the_api_does(page, server):
    rank(page, DOCUMENTS)
    request = {"query": QUERY, "documents": [each.strip() for each in DOCUMENTS]}
    results = httpx.post(f"{server.url}/v2/rerank", json=request).json()["results"]
    assert indexes(page, "#results li") == [x["index"] for x in results]
    scores = [float(text) for text in texts(page, ".number")]
    assert scores == pytest.approx([x["relevance_score"] for x in results], abs=1e-4)
    assert DOCUMENTS[0] in texts(page, ".text")  # its <b> is text


def test_a_cut_document_is_marked(page):
    rank(page, DOCUMENTS)
    assert indexes(page, "li:has(.cut)") == [DOCUMENTS.index(LONG)]


def test_blank_lines_separate_documents_of_several_lines(page):
    rank(page, ["one\ntwo", "three"], separator="\n\n")
    assert sorted(texts(page, ".text")) == ["one\ntwo", "three"]


def test_the_message_of_an_error_is_shown(page):
    page.execute_script("arguments[0].value = 'many words '.repeat(99)", find(page, "#query"))
    rank(page, ["one"])
    assert "Query" in find(page, "#error").text
    assert not texts(page, "#results li")


def test_with_a_key_one_of_several_models_can_be_chosen(browser, model_dir):
    from servers import running

    options = [f"--model={name}={model_dir}" for name in ("first", "second")]
    with running(*options, environment={"T5RANK_API_KEYS": "secret"}) as server:
        browser.get(f"{server.url}/")
        rank(browser, DOCUMENTS)
        assert "API key" in find(browser, "#error").text
        find(browser, "#key").send_keys("secret\t")
        wait(browser, find(browser, "#model").is_displayed)
        find(browser, "#model").send_keys("second")
        find(browser, "#rank").click()
        wait(browser, lambda: texts(browser, "#results li"))
        assert "model second" in find(browser, "#status").text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_no_request_leaves_the_server(browser, server, path):
    browser.get_log("browser")  # forgets what was before
    browser.get(f"{server.url}{path}")
    if path == "/":
        find(browser, "#example").click()
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#results li, .path"))
    asked = browser.execute_script("return performance.getEntriesByType('resource')")
    assert asked and all(each["name"].startswith(server.url) for each in asked)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_docs_show_every_path_and_schema(browser, server):
    api = httpx.get(f"{server.url}/openapi.json").json()
    browser.get(f"{server.url}/docs")
    wait(browser, lambda: texts(browser, ".path"))
    assert sorted(texts(browser, ".path")) == sorted(api["paths"])
    for name in api["components"]["schemas"]:
        assert browser.find_elements(By.ID, name), name


def test_each_curl_example_of_the_docs_is_answered_in_its_dialect(browser, server):
    browser.get(f"{server.url}/docs")
    wait(browser, lambda: texts(browser, ".curl"))
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    content = paths["/rerank"]["post"]["responses"]["200"]["content"]["application/json"]
    keys = set()
    for command in texts(browser, ".curl"):
        _, url, _, body = shlex.split(command.replace("\\\n", ""))
        if "embed" in url:
            continue  # needs a dual encoder
        answer = httpx.post(url, content=body).raise_for_status().json()
        keys.add(frozenset(answer if isinstance(answer, dict) else answer[0]))
    assert len(keys) == len(content["schema"]["anyOf"])  # every answer has keys of its own


def test_docs_name_options_that_exist(browser, server):
    browser.get(f"{server.url}/docs")
    wait(browser, lambda: texts(browser, ".option"))
    given = [word for option in texts(browser, ".option") for word in (option, "1")]
    assert cli._parser().parse_args(["serve", "--model=m", *given]).max_documents == 1
