"""Makes a bucket on any S3 server: the one request that obstore leaves to others, signed by AWS' version 4."""

import hashlib
import hmac
import urllib.error
import urllib.request
from datetime import UTC, datetime
from urllib.parse import urlsplit

_REGION, _SERVICE, _CONFLICT = "us-east-1", "s3", 409
_EMPTY = hashlib.sha256(b"").hexdigest()


def make_bucket(endpoint: str, access_key: str, secret_key: str, bucket: str) -> None:
    """Make the bucket; one that is there is fine.

    Raises `urllib.error.HTTPError` where the server refuses.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": urlsplit(endpoint).netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    asked = f"PUT\n/{bucket}\n\n{lines}\n{names}\n{_EMPTY}"
    scope = f"{moment[:8]}/{_REGION}/{_SERVICE}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    credential = f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}"
    headers["authorization"] = f"{credential}, SignedHeaders={names}, Signature={_hmac(key, text).hex()}"
    request = urllib.request.Request(f"{endpoint.rstrip('/')}/{bucket}", method="PUT", headers=headers)  # noqa: S310 -- the test bed's
    try:
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 -- as above
    except urllib.error.HTTPError as answer:
        with answer:
            if answer.code != _CONFLICT:
                raise


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
