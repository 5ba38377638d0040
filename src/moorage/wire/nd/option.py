"""Sequences of Neighbor Discovery options (RFC 4861 section 4.6).

Every option is a dataclass with its number ``type``, ``encode()`` for the body (what follows Type
and Length) and, all but the unknown one, ``decode(body)``. A decoder returns None where receivers
have to ignore the option although nothing is wrong with the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout
from moorage.wire.nd.dns import Rdnss
from moorage.wire.nd.link import Mtu, SourceLinkLayerAddress, TargetLinkLayerAddress
from moorage.wire.nd.ondemand import OnDemandLink
from moorage.wire.nd.prefix import PrefixInformation
from moorage.wire.nd.route import RouteInformation

_HEADER: Final = Layout("ND option", "BB")
_UNIT: Final = 8
"""Bytes that the Length field counts by; it counts Type and Length, too."""


@dataclass(frozen=True, slots=True)
class UnknownNdOption:
    """An option that nobody here understands, kept as it came.

    Attributes:
        type: its number.
        data: its body; with Type and Length a multiple of 8 bytes.
    """

    type: int
    data: bytes

    def encode(self) -> bytes:
        """Return the body."""
        return self.data


_KnownOption: TypeAlias = (
    SourceLinkLayerAddress
    | TargetLinkLayerAddress
    | PrefixInformation
    | Mtu
    | RouteInformation
    | Rdnss
    | OnDemandLink
)

NdOption: TypeAlias = _KnownOption | UnknownNdOption
"""Any option."""

_DECODERS: Final[dict[int, Callable[[bytes], _KnownOption | None]]] = {
    SourceLinkLayerAddress.type: SourceLinkLayerAddress.decode,
    TargetLinkLayerAddress.type: TargetLinkLayerAddress.decode,
    PrefixInformation.type: PrefixInformation.decode,
    Mtu.type: Mtu.decode,
    RouteInformation.type: RouteInformation.decode,
    Rdnss.type: Rdnss.decode,
    OnDemandLink.type: OnDemandLink.decode,
}


def encode_options(options: Iterable[NdOption]) -> bytes:
    """Return ``options`` one after the other.

    Raises:
        ValueError: a value is out of its range, or an option is no multiple of 8 bytes.
    """
    return b"".join(map(_encode, options))


def decode_options(data: bytes) -> tuple[NdOption, ...]:
    """Return the options that ``data`` consists of, in their order.

    Raises:
        WireError: an option of length 0 or one that goes beyond the end (RFC 4861 section 6.1), or
            one that does not follow its own format.
    """
    options: list[NdOption] = []
    start = 0
    while start < len(data):
        body = start + _HEADER.size
        option_type, units = _HEADER.unpack(data[start:body])
        end = start + units * _UNIT
        if end == start:
            raise WireError(_HEADER.where, f"type {option_type} of length 0")
        if end > len(data):
            raise WireError(_HEADER.where, f"type {option_type} goes beyond the end")
        options.append(_decode(option_type, data[body:end]))
        start = end
    return tuple(options)


def _encode(option: NdOption) -> bytes:
    body = option.encode()
    units, rest = divmod(_HEADER.size + len(body), _UNIT)
    if rest:
        raise ValueError(f"{_HEADER.where}: type {option.type} is no multiple of {_UNIT} bytes")
    return _HEADER.pack(option.type, units) + body


def _decode(option_type: int, body: bytes) -> NdOption:
    decoder = _DECODERS.get(option_type)
    known = None if decoder is None else decoder(body)
    return UnknownNdOption(option_type, body) if known is None else known
