"""Neighbor Discovery messages about routers: bytes to and from frozen dataclasses."""

from __future__ import annotations

from moorage.wire.nd.dns import Rdnss
from moorage.wire.nd.link import Mtu, SourceLinkLayerAddress, TargetLinkLayerAddress
from moorage.wire.nd.message import RouterAdvertisement, RouterSolicitation, decode_message
from moorage.wire.nd.ondemand import OnDemandLink
from moorage.wire.nd.option import NdOption, UnknownNdOption, decode_options, encode_options
from moorage.wire.nd.prefix import PrefixInformation
from moorage.wire.nd.route import RouteInformation

__all__ = [
    "Mtu",
    "NdOption",
    "OnDemandLink",
    "PrefixInformation",
    "Rdnss",
    "RouteInformation",
    "RouterAdvertisement",
    "RouterSolicitation",
    "SourceLinkLayerAddress",
    "TargetLinkLayerAddress",
    "UnknownNdOption",
    "decode_message",
    "decode_options",
    "encode_options",
]
