"""HTTP server of metrics and progress, in the background of the run."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any

_MOST_AT_ONCE = 8
_SECONDS = 5.0

Page = tuple[str, Callable[[], bytes]]
"""Content type, and what makes the content."""


@contextmanager
def serving(pages: Mapping[str, Page], port: int) -> Iterator[int]:
    """Serve GET requests for `pages` (by path) inside the block; yields the port, 0 lets the system choose.

    Raises `OSError` where the port is taken.
    """
    server = _Server(pages, port)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, name="http", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Server with few threads; further connections are closed unanswered, which bounds resources."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, pages: Mapping[str, Page], port: int) -> None:
        self.pages, self._free = pages, BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:  # pods have addresses of either kind
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that disconnects early is no error of the run."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS
    server_version, sys_version = "finetune-trainer", ""

    def version_string(self) -> str:
        """No server name and version."""
        return self.server_version

    def do_GET(self) -> None:
        """Respond with a page, or 404."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404)
            return
        content_type, make = page
        content = make()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing: a line per scrape would flood the run's log."""
