"""Stores whose certificate is not trusted, and stores in another region: told as what they are."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from s3_server import S3Server

from finetune_api.failures import CertificateUntrusted, DataNotFound, OutputNotWritable
from finetune_api.run_file import Stores
from finetune_trainer.storage import Folder, Patience, Site, open_folder

KEYS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}


class Hello(BaseHTTPRequestHandler):
    """Answers every request with a few bytes, as a store does for an object that is there."""

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in (
            ("Content-Length", "2"),
            ("ETag", '"1"'),
            ("Last-Modified", "Mon, 30 Nov 2026 12:00:00 GMT"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def private_store(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a store with a certificate of a private authority, for localhost, and the file with that."""
    key, certificate, authority = (tmp_path / name for name in ("key.pem", "certificate.pem", "authority.pem"))
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(*new, "-keyout", tmp_path / "ca.key", "-out", authority, "-subj", "/CN=Authority")
    openssl(
        *new,
        "-keyout",
        key,
        "-out",
        certificate,
        "-subj",
        "/CN=Store",
        "-CA",
        authority,
        "-CAkey",
        tmp_path / "ca.key",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://localhost:{server.server_port}", authority
    server.shutdown()
    thread.join()
    server.server_close()


def folder(settings: dict[str, str]) -> Folder:
    site = Site(Path("/"), stores=Stores(settings={**KEYS, **settings}))
    return open_folder("s3://rows", site, patience=Patience(retries=1, seconds=2))


@pytest.mark.causes("CertificateUntrusted")
def test_a_private_authority_is_told_and_trusted_once_it_is_named(private_store: tuple[str, Path]) -> None:
    url, certificate = private_store
    with pytest.raises(CertificateUntrusted, match="unknown issuer") as caught:
        folder({"AWS_ENDPOINT_URL": url}).get("one.txt")
    assert "AWS_CA_BUNDLE" in caught.value.problems[0].hint
    assert not caught.value.retried
    assert folder({"AWS_ENDPOINT_URL": url, "AWS_CA_BUNDLE": str(certificate)}).get("one.txt") == b"hi"


def test_a_certificate_of_another_host_is_told(private_store: tuple[str, Path]) -> None:
    url, certificate = private_store
    other = {"AWS_ENDPOINT_URL": url.replace("localhost", "127.0.0.1"), "AWS_CA_BUNDLE": str(certificate)}
    with pytest.raises(CertificateUntrusted, match="another host"):
        folder(other).get("one.txt")


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CertificateUntrusted, match="AWS_CA_BUNDLE names"):
        folder({"AWS_CA_BUNDLE": str(tmp_path / "none.pem")}).get("one.txt")


def test_a_wrong_region_is_told_with_the_right_one(s3: S3Server) -> None:
    (s3.bucket("rows") / "one.txt").write_text("x")
    elsewhere = folder({**s3.credentials, "AWS_REGION": "eu-north-1"})
    with pytest.raises(DataNotFound, match="the region is eu-north-1, the store expects us-east-1") as caught:
        elsewhere.get("one.txt")
    assert caught.value.problems[0].hint == "set AWS_REGION to us-east-1"
    with pytest.raises(OutputNotWritable, match="the store expects us-east-1"):
        elsewhere.put("two.txt", b"y")
