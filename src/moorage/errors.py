"""What `setsc()` raises: the draft's two error codes as exceptions (draft section 6.1)."""

from __future__ import annotations

from moorage.numbers import EAI_REQUIREDIPFAILED, EAI_REQUIREDIPNOTSUPPORTED
from moorage.wire.app import Reason

_REASONS = {
    Reason.NONE: "",
    Reason.TYPE_NOT_OFFERED: "the network does not offer this type",
    Reason.POOL_FULL: "the network has no prefix left",
    Reason.QUOTA: "the network's quota for this host is used up",
    Reason.NOT_AUTHORISED: "the network does not allow it to this host",
    Reason.TRY_LATER: "the network asks to try again later",
    Reason.SIGNATURE_OR_TIME: "the network did not accept the signature or its time",
    Reason.DETACHED: "the host is not attached to any network",
    Reason.TIMEOUT: "the network did not deliver in time",
    Reason.NO_SERVICE: "no On-Demand service here",
    Reason.BAD_REQUEST: "the request was not understood",
    Reason.NO_ADDRESS: "the socket has no address that this host looks after",
    Reason.HOST_NOT_AUTHORISED: "this host does not allow it to this application",
    Reason.HOST_QUOTA: "this host's quota is used up",
    Reason.NO_HOOKS: "this host cannot choose the addresses of programs that do not ask",
}


class SetscError(OSError):
    """A source address of the required type could not be had.

    ``errno`` and ``eai`` both hold the draft's EAI number; ``reason`` says why.
    """

    eai: int = 0
    _summary = "no source address of the required type"

    def __init__(self, reason: Reason = Reason.NONE, detail: str = "") -> None:
        why = detail or _REASONS[reason]
        super().__init__(self.eai, f"{self._summary}: {why}" if why else self._summary)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.strerror} ({self.eai})"


class RequiredIPNotSupported(SetscError):
    """EAI_REQUIREDIPNOTSUPPORTED: the service type is not supported by this host or network."""

    eai = EAI_REQUIREDIPNOTSUPPORTED
    _summary = "the required source address type is not supported"


class RequiredIPFailed(SetscError):
    """EAI_REQUIREDIPFAILED: the network could not fulfil the request."""

    eai = EAI_REQUIREDIPFAILED
    _summary = "the network could not provide the required source address type"


def from_status(status: int, reason: Reason) -> SetscError:
    """Return the exception for a status other than 0."""
    if status == EAI_REQUIREDIPNOTSUPPORTED:
        return RequiredIPNotSupported(reason)
    return RequiredIPFailed(reason)
