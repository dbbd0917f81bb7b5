"""Credentials and endpoints: from the environment, administrator settings, or a mounted Secret."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from finetune_api.base import SecretReference
from finetune_api.failures import PermissionDenied
from finetune_trainer.storage.site import Mounts, Site

HUB = "hf"
_NAMES = ("AWS_", "GOOGLE_", "AZURE_", "HF_")
_ALIASES = {"token": "HF_TOKEN"}
_NEEDED = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
    HUB: ("HF_TOKEN",),
}
_ENOUGH_TOO = {
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"),
}
_CREDENTIALS = {
    *(name for names in _NEEDED.values() for name in names),
    *(name for names in _ENOUGH_TOO.values() for name in names),
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
}
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_GOOGLE_KEY_FIELDS = ("type", "client_email", "private_key", "private_key_id")


def store_settings(scheme: str, secret: SecretReference | None, site: Site) -> Mapping[str, str] | None:
    """Settings of one use of a store by environment variable names; None leaves all to the environment.

    Locally that is what the administrator's settings say. In a pod the Secret's credentials come on top.
    Raises `PermissionDenied` for a Secret that is missing or lacks what the store needs.
    """
    settings = dict(site.stores.settings)
    if site.mounts is not None and secret is not None:
        settings |= _usable(_read_secret(scheme, secret.name, site.mounts), site)
    return settings or None


def hub_token(secret: SecretReference | None, site: Site) -> str | None:
    """Token of one use of the hub; None leaves its discovery to the hub's client.

    Raises `PermissionDenied` as `store_settings` does.
    """
    if secret is None or site.mounts is None:
        return None
    return setting("HF_TOKEN", store_settings(HUB, secret, site))


def ignored_keys(secret: SecretReference, site: Site) -> list[str]:
    """Keys of a mounted Secret such as endpoints that are ignored, since only administrators may set them."""
    if site.mounts is None or site.stores.endpoints_from_secrets:
        return []
    given = mounted_credentials(site.mounts.secrets / secret.name)
    return sorted(given.keys() - _usable(given, site).keys() - {"GOOGLE_APPLICATION_CREDENTIALS"})


def mounted_credentials(folder: Path) -> dict[str, str]:
    """Read a folder of files named like environment variables, as a mounted Secret is.

    Files with other names, and the hidden links that the kubelet keeps there, are left alone; empty where there is no
    such folder. Raises `PermissionDenied` where it can't be read.
    """
    try:
        files = {_ALIASES.get(p.name, p.name): p for p in folder.iterdir() if p.is_file()} if folder.is_dir() else {}
        return {
            name: file.read_text(encoding="utf-8").strip()
            for name, file in sorted(files.items())
            if name.startswith(_NAMES)
        }
    except (OSError, UnicodeDecodeError) as error:
        raise PermissionDenied(
            f"the credentials in {folder} can't be read", hint="mount the Secret there, readable by this user"
        ) from error


def setting(name: str, given: Mapping[str, str] | None) -> str:
    """One setting: from the job, else the environment, else empty.

    Raises `PermissionDenied` for a value that could not travel in a header, such as a key with a line break in it.
    The message names the variable, never the value.
    """
    value = (given or {}).get(name) or os.environ.get(name, "")
    if not (value.isascii() and (value.isprintable() or "PRIVATE KEY" in value)):
        raise PermissionDenied(
            f"{name} holds characters that no such value has", hint="set it again, without quotes and line breaks"
        )
    return value


def _read_secret(scheme: str, name: str, mounts: Mounts) -> dict[str, str]:
    """Credentials of a mounted Secret, if the store's are among them."""
    given = mounted_credentials(mounts.secrets / name)
    enough = (_NEEDED[scheme], *([_ENOUGH_TOO[scheme]] if scheme in _ENOUGH_TOO else []))
    if any(all(given.get(key) for key in keys) for keys in enough):
        return given
    needed = " and ".join(_NEEDED[scheme])
    found = f"it has {', '.join(given)}" if given else "it is missing, or has no keys of that kind"
    literals = " ".join(f"--from-literal={key}=..." for key in _NEEDED[scheme])
    raise PermissionDenied(
        f"the Secret {name} in namespace {mounts.namespace} does not hold {needed}, which {scheme}:// needs: {found}",
        hint=f"kubectl -n {mounts.namespace} create secret generic {name} {literals}",
    )


def _usable(given: dict[str, str], site: Site) -> dict[str, str]:
    """Permitted keys of a Secret: credentials; endpoints only where the administrator allows it."""
    usable = dict(given)
    if not site.stores.endpoints_from_secrets:
        usable = {name: value for name, value in given.items() if name in _CREDENTIALS}
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):  # a part of the address, unless it is a plain word
            if not _REGION.fullmatch(usable.get(name, "-")):
                del usable[name]
    key = usable.pop("GOOGLE_APPLICATION_CREDENTIALS", "")  # in a Secret the file's content, not its path
    key = usable.get("GOOGLE_SERVICE_ACCOUNT_KEY") or key
    if key:
        everything = site.stores.endpoints_from_secrets
        usable["GOOGLE_SERVICE_ACCOUNT_KEY"] = key if everything else _without_endpoint(key)
    return usable


def _without_endpoint(key: str) -> str:
    """A service account's key without its addresses. Raises `PermissionDenied` if it is no such key."""
    try:
        fields = json.loads(key)
        return json.dumps({name: fields[name] for name in _GOOGLE_KEY_FIELDS if name in fields})
    except (ValueError, TypeError):
        hint = "store the key file of a service account, as it was downloaded"
        raise PermissionDenied("GOOGLE_SERVICE_ACCOUNT_KEY is not a service account's key", hint=hint) from None
