"""The pod's HTTP server: answers what it should, nothing else, and never holds anything up."""

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from finetune_trainer.pod.server import serving

PAGES = {"/metrics": ("text/plain", lambda: b"a 1\n"), "/broken": ("text/plain", lambda: bytes(1 // 0))}


@pytest.fixture
def port() -> Iterator[int]:
    with serving(PAGES, 0) as port:
        yield port


def asked(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_pages_are_served(port: int) -> None:
    assert asked(port, "GET", "/metrics") == (200, b"a 1\n")
    assert asked(port, "GET", "/metrics?x=1") == (200, b"a 1\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/metrics", 501), ("DELETE", "/metrics", 501)],
)
def test_nothing_else_is(port: int, method: str, path: str, status: int) -> None:
    assert asked(port, method, path)[0] == status


def test_a_page_that_fails_costs_one_answer(port: int) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        asked(port, "GET", "/broken")
    assert asked(port, "GET", "/metrics")[0] == 200


def test_who_says_nothing_holds_nobody_up(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    try:
        started = time.monotonic()
        assert asked(port, "GET", "/metrics")[0] == 200
        assert time.monotonic() - started < 2
    finally:
        for connection in silent:
            connection.close()


def test_too_many_at_once_are_closed_and_room_comes_back(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
    time.sleep(0.3)
    with pytest.raises((http.client.HTTPException, OSError)):
        asked(port, "GET", "/metrics")
    for connection in silent:
        connection.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert asked(port, "GET", "/metrics")[0] == 200
        except (http.client.HTTPException, OSError):
            time.sleep(0.1)
        else:
            return
    pytest.fail("no room came back")


def test_a_port_that_is_taken(port: int) -> None:
    with pytest.raises(OSError, match="in use"), serving(PAGES, port):
        pass


def test_the_port_is_free_again_afterwards() -> None:
    with serving(PAGES, 0) as port:
        assert asked(port, "GET", "/metrics")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
