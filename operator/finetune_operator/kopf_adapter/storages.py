"""No-op storages for kopf's handler state and last-handled configuration.

Handlers of events need none, and copying each object for it is most of the work that kopf does.
"""

from typing import Any

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Diff-base storage that stores nothing: every object looks unchanged."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an empty essence."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Nothing stored."""

    def store(self, **_: Any) -> None:
        """Stores nothing."""


class NoProgress(kopf.ProgressStorage):
    """Progress storage that stores nothing."""

    def fetch(self, **_: Any) -> None:
        """Nothing stored."""

    def store(self, **_: Any) -> None:
        """Stores nothing."""

    def purge(self, **_: Any) -> None:
        """Removes nothing."""

    def touch(self, **_: Any) -> None:
        """Marks nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The essence unchanged."""
        return essence
