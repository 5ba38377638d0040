"""Asking a daemon's management interface, for the command line."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

T = TypeVar("T")


class ManagementError(Exception):
    """A daemon cannot be looked into; the text is one line for the user."""


class NoDaemon(ManagementError):
    """None runs there."""


class NotAllowed(ManagementError):
    """The user may not look into it."""


class Refused(ManagementError):
    """It has no answer to this question."""


class Management:
    """A daemon as its management socket shows it.

    Args:
        path: the socket.
        what: what to call the daemon in errors, such as ``host daemon``.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what

    def get(self, resource: str, **query: str) -> bytes:
        """Return a resource as the daemon sends it, in JSON.

        Raises:
            ManagementError: there is no daemon, it does not talk to us, or it has no answer.
        """
        return self._open(resource, query).read()

    def lines(self, resource: str, **query: str) -> Iterator[bytes]:
        """Yield the lines of a resource as they come.

        Raises:
            ManagementError: as `get`.
        """
        yield from self._open(resource, query)

    def _open(self, resource: str, query: dict[str, str]) -> http.client.HTTPResponse:
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", f"{resource}?{urlencode(query)}" if query else resource)
            response = connection.getresponse()
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoDaemon(f"no {self._what} runs here: nobody listens at {self._path}") from None
        except PermissionError:
            raise NotAllowed(
                f"you may not look into the {self._what}: {self._path} is for root"
                " and the group that its configuration names"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise ManagementError(f"{self._path}: {error}") from None
        if response.status != http.client.OK:
            raise Refused(_error(response.read()))
        return response


def decode(data: bytes, kind: type[T]) -> T:
    """Return the value of this type that a daemon sent.

    Raises:
        ManagementError: the daemon is of another version than this program.
    """
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_decode_hook)
    except msgspec.DecodeError as error:
        raise ManagementError(f"the daemon does not fit this program: {error}") from None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("moorage")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def _decode_hook(kind: type[Any], value: Any) -> Any:
    if kind in (IPv6Address, IPv6Network):
        return kind(value)
    raise NotImplementedError(kind)


class _Refusal(msgspec.Struct):
    error: str


def _error(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).error
    except msgspec.DecodeError:
        return "the daemon refused without a reason"
