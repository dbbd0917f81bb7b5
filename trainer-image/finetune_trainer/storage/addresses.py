"""What a storage URI points at. Pure: nothing is opened here."""

import re
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from urllib.parse import quote, unquote

from finetune_api.failures import SpecInvalid

LOCAL = "file"
SCHEMES = (LOCAL, "s3", "gs", "az")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")


@dataclass(frozen=True)
class Address:
    """A place in a store.

    `bucket` is the bucket or container, empty for files. `path` is the key below the bucket without slashes at its
    ends, or an absolute path on disk.
    """

    scheme: str
    bucket: str
    path: str

    @property
    def local(self) -> Path | None:
        """The path on disk, or None for object stores."""
        return Path(self.path) if self.scheme == LOCAL else None

    @property
    def parent(self) -> "Address":
        """The folder that this is in."""
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
    """Parse `uri`; relative files are below `base`, usually the folder of the manifest.

    `file://./x` and `file://x` are relative, `file:///x` and `file://localhost/x` absolute; percent-encoding is
    decoded in `file://` only, since keys of object stores are literal. `~` is not expanded.

    Raises `SpecInvalid` for a scheme that is no storage and for an empty path or bucket.
    """
    scheme, found, rest = uri.partition("://")
    if not found or scheme not in SCHEMES:
        raise SpecInvalid(
            f"{uri!r} is not a storage address", hint=f"write one of {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    if scheme == LOCAL:
        return Address(LOCAL, "", _local_path(uri, rest, base))
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SpecInvalid(f"{bucket!r} in {uri!r} is no name of a bucket", hint=f"write {scheme}://BUCKET/PATH")
    return Address(scheme, bucket, key.strip("/"))


def _local_path(uri: str, rest: str, base: Path) -> str:
    path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    if not path or "\0" in path:
        raise SpecInvalid(f"{uri!r} names no file", hint="write file://./PATH (relative) or file:///PATH (absolute)")
    return normpath(base.absolute() / path)
