"""Input that is wrong: counted always, logged once per kind and source."""

from __future__ import annotations

import logging
from collections import Counter

_REMEMBERED = 1024
"""Sources remembered at most, so that invented ones do not fill the memory or the log."""


class Complaints:
    """What was wrong with what others sent."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._seen: set[tuple[str, str]] = set()
        self.counts: Counter[str] = Counter()
        """How often each kind came."""

    def complain(self, kind: str, source: object, reason: object) -> None:
        """Count one more of ``kind``; log it with its reason if ``source`` never sent one."""
        self.counts[kind] += 1
        key = (kind, str(source))
        if key in self._seen or len(self._seen) >= _REMEMBERED:
            return
        self._seen.add(key)
        self._logger.warning(
            "%s from %s dropped: %s (said once, counted from now on)", kind, source, reason
        )
