"""Requests to the API server that may change something, as all that count writes count them."""

from urllib.parse import parse_qs, urlsplit

_READING = frozenset({"get", "list", "watch", "head", "connect"})
_REVIEWS = ("subjectaccessreviews", "selfsubjectreviews")
"""Questions that the API takes as something to create; nothing is stored."""


def is_write(verb: str, uri: str) -> bool:
    """Whether a request may have changed something.

    Args:
        verb: Verb of the audit log, or method of HTTP.
        uri: Path with its query. Dry runs, as of the operator's profiles at its start, change nothing.
    """
    parts = urlsplit(uri)
    asks = parts.path.rsplit("/", 1)[-1].endswith(_REVIEWS)
    return verb.lower() not in _READING and not asks and "dryRun" not in parse_qs(parts.query)
