"""The one exception of all decoders."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes from a peer break the format; the message they came in is to be discarded.

    Attributes:
        where: the protocol and the part of it, such as ``DHCPv6 IA_PD``.
        what: what is wrong there.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where = where
        self.what = what

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
