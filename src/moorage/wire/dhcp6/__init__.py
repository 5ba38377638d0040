"""DHCPv6: messages and options as frozen dataclasses (RFC 8415, RFC 9915)."""

from __future__ import annotations

from moorage.wire.dhcp6.auth import Authentication, ReconfigureAccept, ReconfigureMessage
from moorage.wire.dhcp6.duid import (
    Duid,
    DuidEn,
    DuidLl,
    DuidLlt,
    DuidUnknown,
    DuidUuid,
    decode_duid,
)
from moorage.wire.dhcp6.exchange import (
    ElapsedTime,
    InfMaxRt,
    InformationRefreshTime,
    OptionRequest,
    Preference,
    RapidCommit,
    SolMaxRt,
)
from moorage.wire.dhcp6.exclude import PrefixExclude
from moorage.wire.dhcp6.ia import IaAddr, IaNa, IaPd, IaPrefix, IaTa
from moorage.wire.dhcp6.identifiers import ClientId, ServerId
from moorage.wire.dhcp6.message import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    ALL_SERVERS,
    CLIENT_PORT,
    HOP_COUNT_LIMIT,
    SERVER_PORT,
    Message,
    MessageType,
    Relay,
    client_of,
    decode_message,
)
from moorage.wire.dhcp6.ondemand import (
    GraceTime,
    LinkLayerAddress,
    NetworkPolicy,
    OfferedTypes,
    OnDemand,
    PathMtu,
    PublicKey,
    Refusal,
    RefusalReason,
    ServiceTypeOf,
    Signature,
    SubOption,
    TimeAndLink,
    UnknownSubOption,
)
from moorage.wire.dhcp6.option import Option, UnknownOption, decode_options, encode_options
from moorage.wire.dhcp6.relay import InterfaceId, RelayMessageOption
from moorage.wire.dhcp6.status import Status, StatusCode
from moorage.wire.dhcp6.vendor import UserClass, VendorClass, VendorOpts
from moorage.wire.errors import WireError

__all__ = [
    "ALL_RELAY_AGENTS_AND_SERVERS",
    "ALL_SERVERS",
    "CLIENT_PORT",
    "HOP_COUNT_LIMIT",
    "SERVER_PORT",
    "Authentication",
    "ClientId",
    "Duid",
    "DuidEn",
    "DuidLl",
    "DuidLlt",
    "DuidUnknown",
    "DuidUuid",
    "ElapsedTime",
    "GraceTime",
    "IaAddr",
    "IaNa",
    "IaPd",
    "IaPrefix",
    "IaTa",
    "InfMaxRt",
    "InformationRefreshTime",
    "InterfaceId",
    "LinkLayerAddress",
    "Message",
    "MessageType",
    "NetworkPolicy",
    "OfferedTypes",
    "OnDemand",
    "Option",
    "OptionRequest",
    "PathMtu",
    "Preference",
    "PrefixExclude",
    "PublicKey",
    "RapidCommit",
    "ReconfigureAccept",
    "ReconfigureMessage",
    "Refusal",
    "RefusalReason",
    "Relay",
    "RelayMessageOption",
    "ServerId",
    "ServiceTypeOf",
    "Signature",
    "SolMaxRt",
    "Status",
    "StatusCode",
    "SubOption",
    "TimeAndLink",
    "UnknownOption",
    "UnknownSubOption",
    "UserClass",
    "VendorClass",
    "VendorOpts",
    "WireError",
    "client_of",
    "decode_duid",
    "decode_message",
    "decode_options",
    "encode_options",
]
