"""The source address of sockets that name none, in a control group: BPF programs choose it."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final, Protocol

from moorage.kernel import bpf
from moorage.service import ServiceType

_OBJECT: Final = "defaults"
_KEPT: Final = "kept"
_KEY: Final = bytes(4)
_NETWORK: Final = struct.Struct("=Q")
_CHOICE: Final = struct.Struct("=16sI")
_NONE: Final = IPv6Address(0)


class DefaultSource(Protocol):
    """The choice for one control group, and those below it."""

    def choose(self, address: IPv6Address | None) -> None:
        """Let it be this address; none: connecting and sending fail with EADDRNOTAVAIL."""

    def leave(self) -> None:
        """Let the kernel choose, as it is at first."""

    def close(self) -> None:
        """Leave it to the kernel again."""


class Hook(Protocol):
    """What lets us choose the source address in a control group."""

    def __call__(self, group: Path, service: ServiceType) -> DefaultSource:
        """Begin to. Raises OSError if that is not possible."""


class HookedSource:
    """The `DefaultSource` of a control group: a folder of the hierarchy.

    Sockets in other network namespaces than ``network``, its cookie, are left alone. In ``kept``,
    which the hooks that know who may use which address share with it, sockets are authorised for
    addresses of the type ``service``.

    Raises:
        Unavailable: the kernel, the package or our rights do not suffice.
    """

    def __init__(
        self, group: Path, network: int, service: ServiceType, kept: bpf.KernelMap | None
    ) -> None:
        shared = {} if kept is None else {_KEPT: kept}
        constants = _NETWORK.pack(network)
        self._object = bpf.load(_OBJECT, constants=constants, shared=shared, group=group)
        self._choice = self._object.map("choice")
        self._service = service

    def choose(self, address: IPv6Address | None) -> None:
        """See `DefaultSource.choose`."""
        self._choice.update(_KEY, _CHOICE.pack((address or _NONE).packed, self._service))

    def leave(self) -> None:
        """See `DefaultSource.leave`."""
        self._choice.delete(_KEY)

    def close(self) -> None:
        """See `DefaultSource.close`."""
        self._object.close()
