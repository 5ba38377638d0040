"""What a host keeps on disk from one life of its daemon to the next: its key and its leases."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moorage.host.state import Memory, StateError, StateFile
from moorage.identity import Identity

_log = logging.getLogger("moorage.host")


class Persistence:
    """The files in ``folder``, which is made if need be; ``clock`` is the core's.

    Attributes:
        key: the host's key, made if there was none.

    Raises:
        OSError: they cannot be read or made.
        ValueError: the key file is something else.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._key_file = folder / "host.key"
        self._new_key = not self._key_file.exists()
        self.key = Identity.load_or_create(self._key_file)
        self._state = self._open()

    def load(self, index_of: Callable[[str], int | None]) -> Memory:
        """Return what an earlier life left; say plainly what of it is lost."""
        try:
            memory = self._state.load(index_of, self._clock())
        except StateError as error:
            aside = self._state.put_aside()
            _log.error("%s; moved to %s; Fixed addresses are asked back", error, aside)
            memory = Memory(whole=False)
        if not self._new_key:
            return memory
        if memory.leases:
            _log.error(
                "%s is gone and was made anew: networks will not serve the %d addresses of the old"
                " key any longer",
                self._key_file,
                len(memory.leases),
            )
        return replace(memory, whole=True)

    def save(self, memory: Memory, name_of: Callable[[int], str]) -> None:
        """Keep ``memory`` for the next life; interfaces are kept by name.

        Raises:
            OSError: it cannot be written.
        """
        self._state.save(memory, name_of)

    def clock_set(self) -> None:
        """Save in terms of the time that it is from now on."""
        self._state = self._open()

    def _open(self) -> StateFile:
        return StateFile(self._folder / "leases.json", time.time() - self._clock())
