"""What no client should send, over real sockets: a 4xx that helps, and then the next request."""

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from servers import wait_for

GOOD = json.dumps({"query": "q", "documents": ["a list", "b"]}).encode()


def request(body: bytes = GOOD, headers: bytes = b"", path: bytes = b"/rerank") -> bytes:
    start = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (path, len(body))
    return start + headers + b"\r\n" + body


def exchange(server, data: bytes, seconds: float = 60) -> bytes:
    """All that is answered to some bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def answer_of(server, data: bytes) -> tuple[int, dict]:
    head, _, body = exchange(server, data).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


CLOSE = b"Connection: close\r\n"
BODIES = {
    "malformed JSON": (b'{"query": "q", "documents": ["a"', 400, "no JSON"),
    "bad UTF-8": (b'{"query": "\xff", "documents": ["a"]}', 400, "utf-8"),
    "lone surrogate": (b'{"query": "\\udfff", "documents": ["a"]}', 400, "surrogate"),
    "wrong types": (b'{"query": 1, "documents": "a"}', 400, "$.query"),
    "top_n: true": (b'{"query": "q", "documents": ["a"], "top_n": true}', 400, "$.top_n"),
    "nulls": (b'{"query": null, "documents": null, "top_n": null}', 400, "$.query"),
    "null document": (b'{"query": "q", "texts": [null]}', 400, "$.texts[0]"),
    "deep": (b"[" * 100_000, 400, "brackets"),
    "empty": (b"", 400, "0 bytes"),
    "huge number": (
        b'{"query": "q", "texts": ["a"], "top_n": %s}' % (b"9" * 5000),
        400,
        "range",
    ),
    "10,000 documents": (
        json.dumps({"query": "q", "documents": ["a"] * 10_000}).encode(),
        413,
        "10,000 documents",
    ),
    "10 MB": (
        json.dumps({"query": "q", "documents": ["a" * 10_000_000]}).encode(),
        413,
        "8,388,608 bytes",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_wrong_bodies(server, name):
    body, status, message = BODIES[name]
    found, answer = answer_of(server, request(body, CLOSE))
    assert (found, message in answer["message"]) == (status, True), answer
    assert httpx.post(f"{server.url}/rerank", content=GOOD, timeout=60).status_code == 200


HTTP = {
    "CL and TE elsewhere": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "expected one",
    ),
    "CL and TE": (
        b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "expected one",
    ),
    "two lengths": (
        b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "no valid HTTP",
    ),
    "bad chunk": (
        b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
        "no valid HTTP",
    ),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "no valid HTTP"),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", "no valid HTTP"),
    "endless headers": (b"GET /health HTTP/1.1\r\nX: " + b"a" * 200_000, "no valid HTTP"),
}


@pytest.mark.parametrize("name", HTTP)
def test_wrong_http(server, name):
    data, message = HTTP[name]
    status, answer = answer_of(server, data)  # one answer: what follows is no second request
    assert (status, message in answer["message"]) == (400, True), answer
    assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Headers have not come within 1 s"),
        (b"POST /rerank HTTP/1.1\r\nHost:", "Headers have not come within 1 s"),
        (
            b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
            "Body has not come within 2 s",
        ),
    ],
    ids=["nothing", "headers", "body"],
)
def test_slow_senders_are_cut_off(impatient, data, message):
    status, answer = answer_of(impatient, data)
    assert (status, message in answer["message"]) == (408, True), answer


def test_slow_headers_do_not_win_time_by_coming_in_drops(impatient):
    address = ("127.0.0.1", impatient.port)
    with socket.create_connection(address) as connection, pytest.raises(OSError):
        connection.sendall(b"POST /rerank HTTP/1.1\r\nHost: x\r\nA: ")
        for _ in range(600):  # a minute; the server gives it a second
            connection.sendall(b"a")
            time.sleep(0.1)


def test_who_is_answered_before_his_body_has_come_is_cut_off(server):
    data = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
    status, _ = answer_of(server, data)
    assert status == 404


REFUSED = {
    "no path": (b"POST /nothing", 404),
    "no method": (b"PUT /rerank", 405),
    "a page": (b"POST /health", 405),
    "wrong body": (b"POST /rerank", 400),
}


@pytest.mark.parametrize("body", [b"x", b"x" * 20_000, b"x" * 3_000_000])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request_leaves_its_connection_usable(server, name, body):
    start, status = REFUSED[name]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for _ in range(2):
            head = start + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head)
            time.sleep(0.05)  # an answer would be there already
            connection.sendall(body)
            assert read_answer(connection)[0] == status
        connection.sendall(request())
        assert read_answer(connection)[0] == 200


def test_who_sends_no_rest_is_told_that_the_connection_closes(server):
    data = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
    assert b"connection: close" in exchange(server, data).lower()


def test_who_asks_before_sending_is_refused_without_it(server):
    data = b"POST /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = exchange(server, data).lower()
    assert b" 404 " in answer and b" 100 " not in answer and b"connection: close" in answer


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """One answer, with a Content-Length, of a connection that goes on."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        assert part, answer
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def test_bodies_of_the_smallest_chunks_are_refused(server):
    head = b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, answer = answer_of(server, head + b"1\r\na\r\n" * 100_000)
    assert (status, "chunks of very few bytes" in answer["message"]) == (400, True), answer


def test_who_does_not_read_is_cut_off(impatient):
    texts = ["a list of int " * 500] * 1000
    body = json.dumps({"query": "q", "documents": texts, "return_documents": True}).encode()
    before = impatient.metric("t5rank_requests_total", path="/rerank")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(request(body))
        wait_for(lambda: impatient.metric("t5rank_requests_total", path="/rerank") > before)
        time.sleep(6)  # three times what an answer may take to be read
        received = 0
        try:
            while part := connection.recv(1 << 20):
                received += len(part)
        except ConnectionResetError:
            pass
    assert 0 < received < len(body)


def test_a_connection_is_used_again_after_its_first_request(impatient):
    with httpx.Client(base_url=impatient.url, timeout=60) as client:
        client.get("/health")
        time.sleep(1.5)  # longer than headers may take
        assert client.get("/health").status_code == 200


def test_pipelined_requests_are_answered_in_order(server):
    data = request() + request(b"{") + request(headers=CLOSE)
    answer = exchange(server, data)
    statuses = [part.split()[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"400", b"200"]


def test_chunked_bodies_are_read(server):
    head = b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, GOOD[i : i + 1]) for i in range(len(GOOD)))
    status, answer = answer_of(server, head + chunks + b"0\r\n\r\n")
    assert status == 200 and len(answer["results"]) == 2


def test_clients_that_leave_free_their_work(server):
    def counted(name: str, **labels: str) -> float:
        return server.metric(f"t5rank_{name}_total", **labels)

    def left() -> float:
        return counted("requests", path="/rerank", status="499")

    body = json.dumps({"query": "q", "documents": ["a list of int " * 9] * 1000}).encode()
    asked, gone, abandoned = (
        counted("requests", path="/rerank"),
        left(),
        counted("abandoned_requests"),
    )
    with contextlib.ExitStack() as clients:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", server.port))
            clients.enter_context(connection).sendall(request(body))
    wait_for(lambda: counted("requests", path="/rerank") == asked + 20)
    wait_for(lambda: server.metric("t5rank_queue_tokens") == 0)
    assert counted("abandoned_requests") - abandoned == left() - gone > 0
    assert httpx.post(f"{server.url}/rerank", content=GOOD, timeout=60).status_code == 200


def test_many_at_once_are_all_answered(server):
    def ask(i: int) -> int:
        body = {"query": f"q{i}", "documents": [f"document {j}" for j in range(i % 7 + 1)]}
        return len(client.post("/rerank", json=body).json()["results"])

    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(32) as pool:
        assert list(pool.map(ask, range(200))) == [i % 7 + 1 for i in range(200)]


@pytest.mark.parametrize("which", ["server", "impatient"])
def test_none_of_this_was_an_error_of_the_server(which, request):
    """Runs last: whatever came before, nothing was a 5xx, and nothing was compiled."""
    server = request.getfixturevalue(which)
    assert server.metric("t5rank_requests_total", status="500") == 0
    assert server.metric("t5rank_compiles_after_ready_total") == 0
    assert "Traceback" not in server.log
