"""kopf's memory of what it handled last, switched off.

Handlers of events need none, and copying each object for it is most of the work that kopf does.
"""

from typing import Any

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Every object looks the same as before, and nothing is remembered."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an empty essence."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Return that nothing was stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """No handler has progress to remember."""

    def fetch(self, **_: Any) -> None:
        """Return that nothing was stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Mark nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence as it is: there is nothing of ours in it."""
        return essence
