"""Errors of object stores classified as failures. Pure: by the client's text, which never gets into messages.

The client quotes whole answers, with key ids, signatures and query tokens in them, so that messages are built
from the status and the store's own error code alone.
"""

import re
from dataclasses import dataclass
from enum import Enum
from html import unescape
from urllib.parse import unquote

from finetune_api.failures import (
    CertificateUntrusted,
    JobFailure,
    OutputNotWritable,
    PermissionDenied,
    StorageUnavailable,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_REGIONS = re.compile(r"""region ['"]?([a-z0-9-]{1,40})['"]? is wrong; expecting ['"]?([a-z0-9-]{1,40})""")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w{1,64})|invalid peer certificate")
_CERTIFICATE_WORDS = {
    "UnknownIssuer": "unknown issuer",
    "Expired": "expired",
    "ExpiredContext": "expired",
    "NotValidForName": "made for another host",
    "NotValidForNameContext": "made for another host",
}
_METADATA = re.compile(r"169\.254\.169\.254|metadata\.google|169\.254\.170\.2")
_KEY_CODES = {
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XAdminUserNotFound",  # Versity's gateway answers 404 to an unknown key
}
_BUCKET_CODES = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}


class Meaning(Enum):
    """Classes of store errors."""

    MISSING = "there is nothing"
    NO_BUCKET = "there is no such bucket"
    DENIED = "the credentials were refused"
    NO_CREDENTIALS = "there are no credentials"
    REFUSED = "the request was refused"
    NOT_OFFERED = "the store can't do that"
    WRONG_REGION = "the store is in another region"
    UNTRUSTED = "the store's certificate is not trusted"
    UNAVAILABLE = "the store did not answer"


@dataclass(frozen=True)
class Answer:
    """A classified error, with the parts of its text that are safe to show."""

    meaning: Meaning
    code: str = ""

    def __str__(self) -> str:
        """The error as text."""
        return f"{self.meaning.value} ({self.code})" if self.code else self.meaning.value


_NO_USE = {Meaning.MISSING, Meaning.NO_BUCKET, Meaning.REFUSED, Meaning.NOT_OFFERED, Meaning.WRONG_REGION}


def understand(text: str, *, not_found: bool, denied: bool) -> Answer:
    """Classify the client's error `text`; the flags tell the client's exception class."""
    return _before_any_key(text) or _by_code(text, not_found=not_found, denied=denied)


def _before_any_key(text: str) -> Answer | None:
    """Errors before authentication: no credentials, the certificate, or the region."""
    if _METADATA.search(text):
        return Answer(Meaning.NO_CREDENTIALS)
    if untrusted := _CERTIFICATE.search(text):
        return Answer(Meaning.UNTRUSTED, _CERTIFICATE_WORDS.get(untrusted[1] or "", ""))
    if regions := _REGIONS.search(unescape(text)):
        return Answer(Meaning.WRONG_REGION, f"the region is {regions[1]}, the store expects {regions[2]}")
    return None


def _by_code(text: str, *, not_found: bool, denied: bool) -> Answer:
    status_found, code_found = _STATUS.search(text), _CODE.search(text)
    status = int(status_found[1]) if status_found else 0
    code = code_found[1] if code_found else (str(status) if status else "")
    if denied or code in _KEY_CODES or status in (401, 403):
        return Answer(Meaning.DENIED, code)
    if code in _BUCKET_CODES:
        return Answer(Meaning.NO_BUCKET, code)
    if not_found or status == 404:
        return Answer(Meaning.MISSING, code)
    if code == "NotImplemented" or status == 501:
        return Answer(Meaning.NOT_OFFERED, code)
    if 300 <= status < 500 and status not in (408, 429):
        return Answer(Meaning.REFUSED, code)
    return Answer(Meaning.UNAVAILABLE, code)


def reading_failure(answer: Answer, uri: str, missing: type[JobFailure]) -> JobFailure:
    """The failure of a read of `uri`."""
    if answer.meaning in _NO_USE:
        hint = _where(answer)
        if unquote(uri) != uri:
            hint += f"; keys are taken as they stand: for a key with other characters write {unquote(uri)}"
        return missing(f"{uri} can't be read: {answer}", hint=hint)
    return _common_failure(answer, uri)


def writing_failure(answer: Answer, uri: str) -> JobFailure:
    """The failure of a write to `uri`."""
    if answer.meaning in _NO_USE:
        return OutputNotWritable(f"{uri} can't be written: {answer}", hint=_where(answer))
    return _common_failure(answer, uri)


def _where(answer: Answer) -> str:
    if answer.meaning is Meaning.WRONG_REGION:
        return f"set AWS_REGION to {answer.code.rpartition(' ')[2]}"
    return "check bucket, path, endpoint and region"


def _common_failure(answer: Answer, uri: str) -> JobFailure:
    if answer.meaning is Meaning.UNTRUSTED:
        hint = (
            "set AWS_CA_BUNDLE to a file with the certificates of those who issue the store's (in a pod, of its image)"
        )
        return CertificateUntrusted(f"{uri}: {answer}", hint=hint)
    if answer.meaning is Meaning.UNAVAILABLE:
        return StorageUnavailable(
            f"{uri}: {answer}, after retries", hint="check the endpoint and the network, then run the job again"
        )
    hint = "check the credentials and what they may do"
    if answer.meaning is Meaning.NO_CREDENTIALS:
        hint = (
            "in a cluster name a secretRef; elsewhere, where none is read, set them in the environment (for S3: "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    return PermissionDenied(f"{uri}: {answer}", hint=hint)
