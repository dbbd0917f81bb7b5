"""Where credentials and endpoints come from: the environment, or a folder of files such as a mounted Secret."""

import os
from collections.abc import Mapping
from pathlib import Path

from finetune_api.failures import PermissionDenied

_NAMES = ("AWS_", "GOOGLE_", "AZURE_", "HF_")


def mounted_credentials(folder: Path) -> dict[str, str]:
    """Read a folder of files whose names are those of environment variables, as a mounted Secret is.

    Files with other names, and the hidden links that the kubelet keeps there, are left alone.
    Raises `PermissionDenied` where the folder can't be read.
    """
    try:
        files = [p for p in folder.iterdir() if p.name.startswith(_NAMES) and p.is_file()]
        return {p.name: p.read_text(encoding="utf-8").strip() for p in files}
    except (OSError, UnicodeDecodeError) as error:
        raise PermissionDenied(
            f"the credentials in {folder} can't be read", hint="mount the Secret there, readable by this user"
        ) from error


def setting(name: str, given: Mapping[str, str] | None) -> str:
    """Look up one setting: what the job was given, else the environment, else an empty string.

    Raises `PermissionDenied` for a value that could not travel in a header, such as a key with a line break in it.
    The message names the variable, never the value.
    """
    value = (given or {}).get(name) or os.environ.get(name, "")
    if not (value.isascii() and (value.isprintable() or "PRIVATE KEY" in value)):
        raise PermissionDenied(
            f"{name} holds characters that no such value has", hint="set it again, without quotes and line breaks"
        )
    return value
