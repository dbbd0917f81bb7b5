"""What an object store's refusal means. Pure: works on the client's text, and never lets that text through.

The client quotes whole answers, with key ids, signatures and query tokens in them, so that messages are built
from the status and the store's own error code alone.
"""

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from finetune_api.failures import JobFailure, OutputNotWritable, PermissionDenied, StorageUnavailable

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
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
    """Kinds of refusal."""

    MISSING = "there is nothing"
    NO_BUCKET = "there is no such bucket"
    DENIED = "the credentials were refused"
    NO_CREDENTIALS = "there are no credentials"
    REFUSED = "the request was refused"
    NOT_OFFERED = "the store can't do that"
    UNAVAILABLE = "the store did not answer"


@dataclass(frozen=True)
class Answer:
    """A refusal, with the store's words for it as far as they are safe to show."""

    meaning: Meaning
    code: str = ""

    def __str__(self) -> str:
        """The refusal in words."""
        return f"{self.meaning.value} ({self.code})" if self.code else self.meaning.value


_NO_USE = {Meaning.MISSING, Meaning.NO_BUCKET, Meaning.REFUSED, Meaning.NOT_OFFERED}


def understand(text: str, *, not_found: bool, denied: bool) -> Answer:
    """Tell what the client's error `text` means; the flags say which exception the client chose."""
    status_found, code_found = _STATUS.search(text), _CODE.search(text)
    status = int(status_found[1]) if status_found else 0
    code = code_found[1] if code_found else (str(status) if status else "")
    if _METADATA.search(text):
        return Answer(Meaning.NO_CREDENTIALS)
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
    """The failure for a refused read of `uri`."""
    if answer.meaning in _NO_USE:
        hint = "check bucket, path, endpoint and region"
        if unquote(uri) != uri:
            hint += f"; keys are taken as they stand: for a key with other characters write {unquote(uri)}"
        return missing(f"{uri} can't be read: {answer}", hint=hint)
    return _common_failure(answer, uri)


def writing_failure(answer: Answer, uri: str) -> JobFailure:
    """The failure for a refused write to `uri`."""
    if answer.meaning in _NO_USE:
        return OutputNotWritable(f"{uri} can't be written: {answer}", hint="check bucket, path, endpoint and region")
    return _common_failure(answer, uri)


def _common_failure(answer: Answer, uri: str) -> JobFailure:
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
