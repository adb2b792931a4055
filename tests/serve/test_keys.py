"""API keys: where a request may have one, what it may ask for a minute, and keys that change."""

import json
import logging

import pytest
from servers import wait_for
from starlette.testclient import TestClient

from t5rank.serve.allowances import Allowance
from t5rank.serve.app import make_app
from t5rank.serve.errors import Refusal
from t5rank.serve.keys import ApiKeys, parse_keys
from t5rank.serve.settings import ServerSettings

BODY = {"query": "q", "documents": ["a"]}


def app_with(**settings):
    """An application whose models are never loaded: answers that need scores are 503."""
    return TestClient(make_app(ServerSettings({"tiny": "nowhere"}, **settings)))


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("api-key", "one", 200),
        ("Api-Key", "one", 200),
        ("x-api-key", "one", 200),
        ("X-API-Key", "Bearer one", 200),
        ("x-api-key", "two", 401),
        ("x-auth", "one", 401),
    ],
)
def test_a_key_may_stand_in_other_headers(header, value, status):
    client = app_with(api_keys=("one",))
    assert client.get("/v1/models", headers={header: value}).status_code == status


def test_a_good_key_beside_a_wrong_one_is_enough():
    headers = {"Authorization": "Bearer guess", "x-api-key": "one"}
    assert app_with(api_keys=("one",)).get("/v1/models", headers=headers).status_code == 200


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(allowance: Allowance, amount: int) -> str | None:
    """`Retry-After`, where it is refused."""
    try:
        allowance.take(amount, "requests")
    except Refusal as refusal:
        assert refusal.status == 429
        return refusal.headers["Retry-After"]
    return None


def test_an_allowance_fills_evenly_and_holds_one_minute():
    clock = Clock()
    allowance = Allowance(3, clock)  # one every 20 s
    assert [refused(allowance, 1) for _ in range(4)] == [None, None, None, "20"]
    clock.now = 15
    assert refused(allowance, 1) == "5"
    clock.now = 20
    assert [refused(allowance, 1) for _ in range(2)] == [None, "20"]
    clock.now = 1000
    assert [refused(allowance, 1) for _ in range(4)] == [None, None, None, "20"]


def test_what_was_spent_beyond_is_waited_for():
    clock = Clock()
    allowance = Allowance(60, clock)
    assert refused(allowance, 0) is None
    allowance.spend(90)
    assert refused(allowance, 0) == "30"
    clock.now = 30
    assert refused(allowance, 0) is None


def test_requests_beyond_a_keys_limit_are_429_and_others_go_on():
    client = app_with(api_keys=("one name=shop requests_per_minute=2", "two"))
    asked = [
        client.post("/rerank", json=BODY, headers={"x-api-key": key})
        for key in ("one", "one", "one", "two")
    ]
    assert [response.status_code for response in asked] == [503, 503, 429, 503]
    assert 1 <= int(asked[2].headers["retry-after"]) <= 30
    assert asked[2].json()["error_type"] == "rate_limited"


def test_tokens_are_counted_when_they_were_scored(model_dir):
    keys = ("one name=shop tokens_per_minute=1", "two")
    with TestClient(make_app(ServerSettings({"m": str(model_dir)}, api_keys=keys))) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        first, second, other = (
            client.post("/rerank", json=BODY, headers={"x-api-key": key})
            for key in ("one", "one", "two")
        )
        text = client.get("/metrics").text
    assert (first.status_code, second.status_code, other.status_code) == (200, 429, 200)
    tokens = first.json()["usage"]["total_tokens"]
    assert int(second.headers["retry-after"]) > 60 * (tokens - 1) - 30
    assert f't5rank_key_tokens_total{{key="shop"}} {tokens}.0' in text
    assert 't5rank_key_requests_total{key="shop",status="429"} 1.0' in text


def test_the_log_has_the_name_and_never_the_key(caplog):
    client = app_with(api_keys=("sesame name=shop",))
    with caplog.at_level(logging.INFO):
        client.post("/rerank", json=BODY, headers={"Authorization": "Bearer sesame"})
    (line,) = [json.loads(r.message) for r in caplog.records if r.name == "t5rank.access"]
    assert line["key"] == "shop"
    assert "sesame" not in caplog.text + client.get("/metrics").text


@pytest.mark.parametrize(
    "line",
    ["key other", "key nam=shop", "key requests_per_minute=0", "key tokens_per_minute=x", "kéy"],
)
def test_a_wrong_line_is_refused_without_the_key(line):
    with pytest.raises(ValueError, match="API key 2 has") as raised:
        parse_keys(["good", line])
    assert line.split()[0] not in str(raised.value).replace("API key", "").replace("'KEY", "")


def test_one_key_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        parse_keys(["one name=a", "one name=b"])


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# of the shop\none name=shop requests_per_minute=9\n")
    return file


def holds(keys: ApiKeys, key: str) -> bool:
    try:
        return keys.check({"type": "http", "headers": [(b"x-api-key", key.encode())]}) is not None
    except Refusal:
        return False


def test_a_running_server_reads_changed_keys(key_file):
    with app_with(api_keys_file=str(key_file)) as client:

        def status(key: str) -> int:
            return client.get("/v1/models", headers={"x-api-key": key}).status_code

        assert (status("one"), status("two")) == (200, 401)
        key_file.write_text("two\n")
        wait_for(lambda: status("two") == 200)
        assert status("one") == 401


@pytest.mark.parametrize("text", ["", "two other\n", None])
def test_a_file_that_became_wrong_changes_nothing_and_is_logged_once(text, key_file, caplog):
    keys = ApiKeys(file=str(key_file))
    key_file.unlink() if text is None else key_file.write_text(text)
    for _ in range(3):
        keys.read_anew()
    assert holds(keys, "one") and not holds(keys, "two")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    key_file.write_text("two\n")
    keys.read_anew()
    assert holds(keys, "two") and not holds(keys, "one")


def test_a_key_that_stays_keeps_what_is_left_of_its_minute(key_file):
    keys = ApiKeys(file=str(key_file))
    scope = {"type": "http", "headers": [(b"x-api-key", b"one")]}
    for _ in range(9):
        keys.check(scope).admit()
    key_file.write_text("one name=other requests_per_minute=9\ntwo\n")
    keys.read_anew()
    with pytest.raises(Refusal, match="9 requests a minute"):
        keys.check(scope).admit()
    key_file.write_text("one name=other requests_per_minute=99\n")
    keys.read_anew()
    keys.check(scope).admit()
