"""The announcement of On-Demand Mobility, our own option (``docs/protocol.md``).

Its type is one for experiments (RFC 4727), so others may use the same: whatever is not exactly our
layout and version is somebody else's option.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from moorage.numbers import ND_OPTION_ON_DEMAND
from moorage.service import ServiceType, from_mask, to_mask
from moorage.wire.layout import Layout

_ID_LENGTH: Final = 8
# version, mask of offered types, reserved, domain id, link id
_LAYOUT: Final = Layout("ND On-Demand", f"BB 4x {_ID_LENGTH}s {_ID_LENGTH}s")


@dataclass(frozen=True, slots=True)
class OnDemandLink:
    """What the network of this link offers, and which link it is.

    Attributes:
        offered: the service types that can be asked for; bits of no type are ignored.
        domain_id: 8 bytes, the same on all links of an operator.
        link_id: 8 bytes, another one on each link.
    """

    type: ClassVar[int] = ND_OPTION_ON_DEMAND
    version: ClassVar[int] = 1

    offered: frozenset[ServiceType]
    domain_id: bytes
    link_id: bytes

    def encode(self) -> bytes:
        """Return the body.

        Raises:
            ValueError: an id is not of 8 bytes.
        """
        for identifier in (self.domain_id, self.link_id):
            if len(identifier) != _ID_LENGTH:
                raise ValueError(f"{_LAYOUT.where}: {identifier!r} is not of {_ID_LENGTH} bytes")
        return _LAYOUT.pack(self.version, to_mask(self.offered), self.domain_id, self.link_id)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option whose body is ``data``; None: it is not ours, or of another version."""
        if len(data) != _LAYOUT.size:
            return None
        version, mask, domain_id, link_id = _LAYOUT.unpack(data)
        if version != cls.version:
            return None
        return cls(from_mask(mask), domain_id, link_id)
