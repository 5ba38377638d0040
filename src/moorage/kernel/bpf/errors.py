"""Why BPF programs cannot be used here."""

from __future__ import annotations


class Unavailable(OSError):
    """The machine, the package or our rights lack what BPF programs need; the text says what."""

    def __init__(self, what: str, number: int = 0) -> None:
        super().__init__(number, what)
