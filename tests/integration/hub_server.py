"""A small server that speaks as much of the Hugging Face hub's API as reading data sets needs, over a folder.

`root/owner/name/` is a data set; a file `GATED` in it makes the hub refuse it as gated, `FORBIDDEN` as not allowed.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    root: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        api = parts[:2] == ["api", "datasets"]
        if not api and parts[0] != "datasets":
            self._send(404, b"")
            return
        owner, name, action, revision, *rest = [*parts[2 if api else 1 :], "", "", "", ""]
        folder = self.root / owner / name
        if not folder.is_dir():
            self._refuse(404, "RepoNotFound")
        elif (folder / "GATED").exists():
            self._refuse(403, "GatedRepo")
        elif (folder / "FORBIDDEN").exists():
            self._refuse(403, "")
        elif revision not in ("", "main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif api:
            self._describe(folder, f"{owner}/{name}", action, body)
        else:
            self._file(folder / "/".join(part for part in rest if part))

    def _describe(self, folder: Path, repository: str, action: str, body: bytes) -> None:
        files = [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _digest(path)}
            for path in sorted(folder.iterdir())
        ]
        if action == "tree":
            self._send(200, json.dumps(files).encode())
        elif action == "paths-info":
            asked = parse_qs(body.decode()).get("paths") or json.loads(body or b"{}").get("paths", [])
            self._send(200, json.dumps([file for file in files if file["path"] in asked]).encode())
        else:
            siblings = [{"rfilename": file["path"]} for file in files]
            info = {"id": repository, "sha": COMMIT, "private": False, "gated": False, "siblings": siblings, "tags": []}
            self._send(200, json.dumps(info).encode())

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._refuse(404, "EntryNotFound")
            return
        self._send(200, path.read_bytes(), {"ETag": f'"{_digest(path)}"'})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def running(root: Path) -> Iterator[str]:
    """Run the server over `root`; yields its address, for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"root": root}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
