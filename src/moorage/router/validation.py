"""What a client's message may contain, and what is done when it does not: data.

RFC 8415 section 16 says which messages a server discards, appendix B which option has a place in
which message. An option that has none is treated as if it were not there, as section 16 allows.
So is one that nobody knows: later standards must be able to add some.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from moorage.wire.dhcp6 import (
    Authentication,
    ClientId,
    ElapsedTime,
    IaNa,
    IaPd,
    IaTa,
    InfMaxRt,
    InformationRefreshTime,
    InterfaceId,
    Message,
    MessageType,
    Option,
    OptionRequest,
    Preference,
    RapidCommit,
    ReconfigureAccept,
    ReconfigureMessage,
    RelayMessageOption,
    ServerId,
    SolMaxRt,
    StatusCode,
    UserClass,
    VendorClass,
    VendorOpts,
)

SERVER_UNICAST: Final = 12
"""Option code that RFC 9915 has made obsolete; we neither read nor send it."""


class Discarded(Exception):
    """A message that gets no answer; the text says why."""


class Verdict(Enum):
    """What an option means for a message of one type."""

    NEEDED = auto()
    """The message is discarded without it."""

    OURS = auto()
    """The message is discarded without it, and if it names another server."""

    OURS_IF_ANY = auto()
    """The message is discarded if it names another server."""

    TAKEN = auto()
    """It may be there."""

    IGNORED = auto()
    """It has no place there and is passed over."""

    FATAL = auto()
    """The message is discarded because of it."""


class Unicast(Enum):
    """What is done with a message that a client sent to one of our unicast addresses.

    We offer no Server Unicast option (obsolete since RFC 9915), so no client has been allowed to.
    """

    DISCARDED = auto()
    """RFC 8415 section 16."""

    USE_MULTICAST = auto()
    """It is answered with the status UseMulticast (RFC 8415 section 18.4)."""


MESSAGES: Final = (
    MessageType.SOLICIT,
    MessageType.REQUEST,
    MessageType.CONFIRM,
    MessageType.RENEW,
    MessageType.REBIND,
    MessageType.DECLINE,
    MessageType.RELEASE,
    MessageType.INFORMATION_REQUEST,
)
"""The messages that a server answers, in the order of the columns below; it discards others."""

_N, _O, _M = Verdict.NEEDED, Verdict.OURS, Verdict.OURS_IF_ANY
_T, _I, _X = Verdict.TAKEN, Verdict.IGNORED, Verdict.FATAL

# fmt: off
OPTIONS: Final[Mapping[int, tuple[Verdict, ...]]] = {
    #                                    Sol Req Con Ren Reb Dec Rel Inf
    ClientId.option_code:               (_N, _N, _N, _N, _N, _N, _N, _T),
    ServerId.option_code:               (_X, _O, _X, _O, _X, _O, _O, _M),
    IaNa.option_code:                   (_T, _T, _T, _T, _T, _T, _T, _X),
    IaTa.option_code:                   (_T, _T, _T, _T, _T, _T, _T, _X),
    IaPd.option_code:                   (_T, _T, _I, _T, _T, _T, _T, _X),
    OptionRequest.option_code:          (_T, _T, _I, _T, _T, _I, _I, _T),
    Preference.option_code:             (_I, _I, _I, _I, _I, _I, _I, _I),
    ElapsedTime.option_code:            (_T, _T, _T, _T, _T, _T, _T, _T),
    RelayMessageOption.option_code:     (_I, _I, _I, _I, _I, _I, _I, _I),
    Authentication.option_code:         (_I, _I, _I, _I, _I, _I, _I, _I),
    SERVER_UNICAST:                     (_I, _I, _I, _I, _I, _I, _I, _I),
    StatusCode.option_code:             (_I, _I, _I, _I, _I, _I, _I, _I),
    RapidCommit.option_code:            (_T, _I, _I, _I, _I, _I, _I, _I),
    UserClass.option_code:              (_T, _T, _T, _T, _T, _T, _T, _T),
    VendorClass.option_code:            (_T, _T, _T, _T, _T, _T, _T, _T),
    VendorOpts.option_code:             (_T, _T, _T, _T, _T, _T, _T, _T),
    InterfaceId.option_code:            (_I, _I, _I, _I, _I, _I, _I, _I),
    ReconfigureMessage.option_code:     (_I, _I, _I, _I, _I, _I, _I, _I),
    ReconfigureAccept.option_code:      (_T, _T, _I, _T, _T, _I, _I, _T),
    InformationRefreshTime.option_code: (_I, _I, _I, _I, _I, _I, _I, _I),
    SolMaxRt.option_code:               (_I, _I, _I, _I, _I, _I, _I, _I),
    InfMaxRt.option_code:               (_I, _I, _I, _I, _I, _I, _I, _I),
}
# fmt: on

REPEATABLE: Final = frozenset(
    kind.option_code for kind in (IaNa, IaTa, IaPd, VendorClass, VendorOpts)
)
"""The options that may come more than once in a message; with two of another it is discarded
(RFC 8415 section 21)."""

UNICAST: Final[Mapping[MessageType, Unicast]] = {
    MessageType.SOLICIT: Unicast.DISCARDED,
    MessageType.REQUEST: Unicast.USE_MULTICAST,
    MessageType.CONFIRM: Unicast.DISCARDED,
    MessageType.RENEW: Unicast.USE_MULTICAST,
    MessageType.REBIND: Unicast.DISCARDED,
    MessageType.DECLINE: Unicast.USE_MULTICAST,
    MessageType.RELEASE: Unicast.USE_MULTICAST,
    MessageType.INFORMATION_REQUEST: Unicast.DISCARDED,
}

_COLUMNS: Final = {
    kind: {code: verdicts[column] for code, verdicts in OPTIONS.items()}
    for column, kind in enumerate(MESSAGES)
}
_REQUIRED: Final = {
    kind: frozenset(
        code for code, verdict in column.items() if verdict in (Verdict.NEEDED, Verdict.OURS)
    )
    for kind, column in _COLUMNS.items()
}


def admit(message: Message, server_duid: bytes) -> Message:
    """Return what a server with this DUID has to look at in ``message``.

    Raises:
        Discarded: it is not for us, or says too little or too much to be answered.
    """
    column = _COLUMNS.get(message.type)
    if column is None:
        raise Discarded(f"{message.type.name} is not sent by clients")
    kept: list[Option] = []
    seen: set[int] = set()
    for option in message.options:
        code = option.option_code
        verdict = column.get(code, _T)
        if verdict is _I:
            continue
        if verdict is _X:
            raise Discarded(f"{message.type.name} with option {code}")
        if code in seen and code in OPTIONS and code not in REPEATABLE:
            raise Discarded(f"{message.type.name} with option {code} twice")
        if verdict is _O or verdict is _M:
            _check_server(message.type, option, server_duid)
        seen.add(code)
        kept.append(option)
    for code in _REQUIRED[message.type] - seen:
        raise Discarded(f"{message.type.name} without option {code}")
    if len(seen) < len(kept):
        _check_names(message.type, kept)
    return (
        message
        if len(kept) == len(message.options)
        else Message(message.type, message.transaction_id, tuple(kept))
    )


def _check_server(kind: MessageType, option: Option, server_duid: bytes) -> None:
    if not isinstance(option, ServerId) or option.duid != server_duid:
        raise Discarded(f"{kind.name} for another server")


def _check_names(kind: MessageType, options: list[Option]) -> None:
    """Refuse two associations of one kind with one IAID: they could not be told apart."""
    names = [
        (option.option_code, option.iaid)
        for option in options
        if isinstance(option, IaNa | IaTa | IaPd)
    ]
    if len(set(names)) != len(names):
        raise Discarded(f"{kind.name} with two associations of one IAID")
