"""A store without conditional writes, as some that speak S3 are: a real server behind a gateway that takes them."""

import hashlib
import hmac
import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, urlsplit

from s3_server import S3Server

_PASSED_ON = ("content-type", "content-md5", "x-amz-content-sha256", "x-amz-checksum-sha256", "range")
_REFUSAL = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>NotImplemented</Code><Message>no</Message></Error>"


class Lack(StrEnum):
    """What becomes of `If-None-Match`."""

    IGNORED = "ignored"
    REFUSED = "refused"


class _Gateway(BaseHTTPRequestHandler):
    """Passes requests on under a signature of its own, since the client's is over the header that is left out."""

    server3: S3Server
    lack: Lack

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("If-None-Match") and self.lack is Lack.REFUSED:
            return self._answer(501, {"Content-Type": "application/xml"}, _REFUSAL)
        kept = {name: self.headers[name] for name in _PASSED_ON if self.headers[name]}
        host = urlsplit(self.server3.endpoint).netloc
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(self.command, self.path, body, _signed(self.server3, self.command, self.path, kept))
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 -- as above

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)


def _signed(server: S3Server, verb: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with an AWS signature, version 4."""
    parts, now = urlsplit(target), datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {**headers, "host": urlsplit(server.endpoint).netloc, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    pairs = sorted(parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
    listed = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    request = "\n".join([verb, parts.path, query, listed, names, headers["x-amz-content-sha256"]])
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{server.secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"Credential={server.access_key}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": authorization}


@contextmanager
def without_conditions(server: S3Server, lack: Lack) -> Iterator[dict[str, str]]:
    """Run the gateway; the credentials name it as the endpoint."""
    handler = type("Gateway", (_Gateway,), {"server3": server, "lack": lack})
    gateway = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=gateway.serve_forever)
    thread.start()
    try:
        yield {**server.credentials, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{gateway.server_port}"}
    finally:
        gateway.shutdown()
        thread.join()
        gateway.server_close()
