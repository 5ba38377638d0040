"""Fixed layouts of fields, in network byte order."""

from __future__ import annotations

import struct
from typing import Any, Final

from moorage.wire.errors import WireError


class Layout:
    """A `struct.Struct` that tells the peer's mistakes from our own."""

    def __init__(self, where: str, fields: str) -> None:
        """Describe the part ``where`` (see WireError) by ``fields``, a format of `struct`."""
        self.where: Final = where
        self._struct = struct.Struct("!" + fields)
        self.size: Final = self._struct.size
        """Bytes that all fields take."""

    def pack(self, *values: Any) -> bytes:
        """Return ``values`` as bytes.

        Raises:
            ValueError: a value does not fit its field.
        """
        try:
            return self._struct.pack(*values)
        except struct.error as error:
            raise ValueError(f"{self.where}: {error}") from None

    def unpack(self, data: bytes) -> tuple[Any, ...]:
        """Return the values in ``data``, which must be nothing but these fields.

        Raises:
            WireError: ``data`` is of another length.
        """
        if len(data) != self.size:
            raise WireError(self.where, f"{len(data)} bytes instead of {self.size}")
        return self._struct.unpack(data)

    def split(self, data: bytes) -> tuple[tuple[Any, ...], bytes]:
        """Return the values at the start of ``data``, and the bytes that follow them.

        Raises:
            WireError: ``data`` is too short.
        """
        if len(data) < self.size:
            raise WireError(self.where, f"{len(data)} bytes, at least {self.size} are needed")
        return self._struct.unpack_from(data), data[self.size :]
