"""Client settings of object stores. Pure but for the environment; no client is imported."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from finetune_api.failures import CertificateUntrusted, PermissionDenied, SpecInvalid
from finetune_trainer.storage.credentials import setting
from finetune_trainer.storage.folder import Patience

Given = Mapping[str, str] | None
_S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT",),
}
_CONFIG = {
    "s3": {},
    "gs": {
        "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
    },
    "az": {
        "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
        "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
        "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    },
}
_ENDPOINT_OPTION = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}


def store_config(scheme: str, given: Given) -> dict[str, str]:
    """Endpoint, region and account of the store; unset ones are left to the client's discovery.

    Raises `PermissionDenied` for Azure without an account, since its addresses don't name one.
    """
    if scheme == "az" and not setting("AZURE_STORAGE_ACCOUNT_NAME", given):
        raise PermissionDenied("az:// needs the name of an account", hint="set AZURE_STORAGE_ACCOUNT_NAME")
    config = {option: setting(name, given) for name, option in _CONFIG[scheme].items()}
    config[_ENDPOINT_OPTION[scheme]] = endpoint(scheme, given)
    if scheme == "s3":
        config["region"] = setting("AWS_REGION", given) or setting("AWS_DEFAULT_REGION", given) or "us-east-1"
    return {option: value for option, value in config.items() if value}


def endpoint(scheme: str, given: Given) -> str:
    """Endpoint URL of the store; empty means the cloud's own. Raises `SpecInvalid` for other than http(s)."""
    for name in _ENDPOINTS[scheme]:
        value = setting(name, given)
        if value:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or " " in value:
                raise SpecInvalid(f"{name} is no address of a server", hint="write it as https://HOST[:PORT]")
            return value.rstrip("/")
    return ""


def s3_keys(given: Given) -> dict[str, Any] | None:
    """Keys given to the job; None leaves discovery (environment, roles, instance) to the client.

    Given keys are never mixed with a token from the environment.
    Raises `PermissionDenied` where only one of the two is given.
    """
    present = [name for name in _S3_KEYS if given and given.get(name)]
    if not present:
        return None
    if len(present) == 1:
        missing = next(name for name in _S3_KEYS if name not in present)
        raise PermissionDenied(f"the credentials hold {present[0]} but no {missing}", hint=f"add {missing}")
    key, secret = (setting(name, given) for name in _S3_KEYS)
    token = (given or {}).get("AWS_SESSION_TOKEN") or None
    return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}


ANSWER_SECONDS = 60
"""Longest wait for an answer, and for more of one."""
UPLOAD_SECONDS = 180
"""The same for uploads: the client counts the time that a part takes to go up."""


def client_options(scheme: str, given: Given, answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """HTTP options: plain HTTP only for such an endpoint, timeouts for large files.

    Raises `CertificateUntrusted` where AWS_CA_BUNDLE names no file.
    """
    options: dict[str, Any] = {
        "allow_http": endpoint(scheme, given).startswith("http://"),
        "connect_timeout": timedelta(seconds=5),
        "read_timeout": timedelta(seconds=answer_seconds),
        "timeout": timedelta(hours=6),
    }
    authority = setting("AWS_CA_BUNDLE", given)
    if authority and not Path(authority).is_file():
        raise CertificateUntrusted(f"AWS_CA_BUNDLE names {authority}, which is no file", hint="fix it, or remove it")
    if authority:
        options["root_certificate"] = Path(authority).read_bytes()
    return options


def retry_options(patience: Patience) -> dict[str, Any]:
    """Retry options with exponential back-off and jitter."""
    return {
        "max_retries": patience.retries,
        "retry_timeout": timedelta(seconds=patience.seconds),
        "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
    }
