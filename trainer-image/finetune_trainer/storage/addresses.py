"""Parsing of storage URIs. Pure: nothing is opened."""

import re
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from urllib.parse import quote, unquote

from finetune_api.failures import SpecInvalid
from finetune_api.uris import CLAIM_RULE, CONFIG_MAP_RULE, mounted_claim, mounted_config_map

LOCAL = "file"
CLAIM = "pvc"
CONFIG_MAP = "configmap"
SCHEMES = (LOCAL, "s3", "gs", "az", CLAIM, CONFIG_MAP)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")


@dataclass(frozen=True)
class Address:
    """A location in a store.

    `bucket` is the bucket, container, claim or ConfigMap, empty for files. `path` is the key below it without slashes
    at its ends, or an absolute path on disk.
    """

    scheme: str
    bucket: str
    path: str

    @property
    def parent(self) -> "Address":
        """The parent folder."""
        return Address(self.scheme, self.bucket, self.path.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        """The address as a URI that `parse_address` reads back."""
        if self.scheme == LOCAL:
            return f"file://{quote(self.path)}"
        return f"{self.scheme}://{self.bucket}/{self.path}" if self.path else f"{self.scheme}://{self.bucket}"


def parse_address(uri: str, base: Path) -> Address:
    """Parse `uri`; relative files are below `base`, usually the manifest's folder.

    `file://./x` and `file://x` are relative, `file:///x` and `file://localhost/x` absolute; percent-encoding is
    decoded in `file://` only, since keys of object stores are literal. `~` is not expanded.

    Raises `SpecInvalid` for a scheme that is no storage, for an empty path or bucket, and for `pvc://` and
    `configmap://` of the wrong shape.
    """
    scheme, found, rest = uri.partition("://")
    if not found or scheme not in SCHEMES:
        raise SpecInvalid(
            f"{uri!r} is not a storage address", hint=f"write one of {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    if scheme == LOCAL:
        return Address(LOCAL, "", _local_path(uri, rest, base))
    if scheme in (CLAIM, CONFIG_MAP):
        return _volume(uri)
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SpecInvalid(f"{bucket!r} in {uri!r} is no name of a bucket", hint=f"write {scheme}://BUCKET/PATH")
    return Address(scheme, bucket, key.strip("/"))


def literal_address(uri: str, base: Path) -> Address | None:
    """The address with percent signs of a `file://` URI taken literally; None for a URI without any."""
    scheme, _, rest = uri.partition("://")
    return Address(LOCAL, "", _local_path(uri, quote(rest), base)) if scheme == LOCAL and "%" in rest else None


def _volume(uri: str) -> Address:
    """The address in a pod's volume; its shape was checked by the API, unless it is built here."""
    try:
        claim, config_map = mounted_claim(uri), mounted_config_map(uri)
    except ValueError:
        hint = (CLAIM_RULE if uri.startswith(CLAIM) else CONFIG_MAP_RULE).message
        raise SpecInvalid(f"{uri!r} is no address of a volume", hint=hint) from None
    if claim is not None:
        return Address(CLAIM, claim.claim, claim.path)
    if config_map is None:
        raise ValueError(uri)
    return Address(CONFIG_MAP, config_map.name, config_map.key)


def _local_path(uri: str, rest: str, base: Path) -> str:
    path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    if not path or "\0" in path:
        raise SpecInvalid(f"{uri!r} names no file", hint="write file://./PATH (relative) or file:///PATH (absolute)")
    return normpath(base.absolute() / path)
