"""Who uses an address: the sockets bound to it, their end, and how to end them.

TCP and UDP sockets come from the kernel's socket monitor (``sock_diag(7)``,
``<linux/inet_diag.h>``), which also tells of every socket that is destroyed. Raw and ping sockets
come from ``/proc/net``: their part of the monitor (CONFIG_INET_RAW_DIAG) is missing in many kernels
and does not know ping sockets at all.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.kernel.netlink import (
    NETLINK_SOCK_DIAG,
    Message,
    NetlinkSocket,
    attribute,
)

_SOCK_DIAG_BY_FAMILY: Final = 20
_SOCK_DESTROY: Final = 21
_SKNLGRP_INET6_TCP_DESTROY: Final = 3
_SKNLGRP_INET6_UDP_DESTROY: Final = 4

_INET_DIAG_REQ_BYTECODE: Final = 1
_INET_DIAG_BC_S_COND: Final = 7
_TIMER_TIME_WAIT: Final = 3

_SO_COOKIE: Final = 57
_SO_NETNS_COOKIE: Final = 71

# inet_diag_sockid: ports and addresses in network order, the rest in the machine's.
_SOCKET_ID: Final = "2s2s16s16sIII"
_REQUEST: Final = struct.Struct("=BBBxI" + _SOCKET_ID)
_ANSWER: Final = struct.Struct("=BBBx" + _SOCKET_ID + "12xII")
_ANSWERED_COOKIE: Final = struct.Struct("=44xII")
_ANY_SOCKET: Final = (bytes(2), bytes(2), bytes(16), bytes(16), 0, 0, 0)
# inet_diag_bc_op and the inet_diag_hostcond that follows it.
_SOURCE_CONDITION: Final = struct.Struct("=BBHBBxxi16s")
_U64: Final = struct.Struct("=Q")

_RAW_TABLE: Final = "raw6"
_PING_TABLE: Final = "icmp6"


class SocketState(IntEnum):
    """A socket's state, with the kernel's numbers; one that is bound and no more is CLOSE."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


_BOUND_INACTIVE: Final = 13
"""How to ask for TCP sockets that are bound and no more (since Linux 6.8); listed as CLOSE."""
_LISTED_STATES: Final = 1 << _BOUND_INACTIVE | sum(
    1 << state for state in SocketState if state != SocketState.TIME_WAIT
)


@dataclass(frozen=True, slots=True)
class SocketInfo:
    """An IPv6 socket as the kernel describes it.

    ``cookie`` is what `socket_cookie` gives its owner, 0 for raw and ping sockets. ``protocol`` is
    that of the IPv6 header (6: TCP, 17: UDP). ``interface`` is the index of the one that it is
    bound to, or 0. ``inode`` is 0 when no process holds it any more. Raw sockets have no ports.
    """

    cookie: int
    protocol: int
    source: IPv6Address
    source_port: int
    destination: IPv6Address
    destination_port: int
    interface: int
    state: SocketState
    uid: int
    inode: int


class SockDiag:
    """The sockets of the network namespace of the thread that creates it.

    Raises OSError where the kernel has no socket monitor.
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as resources:
            self._netlink = resources.enter_context(NetlinkSocket(NETLINK_SOCK_DIAG))
            # An open table stays with its namespace, as the netlink socket does.
            self._tables = {
                name: resources.enter_context(
                    open(f"/proc/thread-self/net/{name}", "rb", buffering=0)
                )
                for name in (_RAW_TABLE, _PING_TABLE)
            }
            self._resources = resources.pop_all()

    def close(self) -> None:
        """Give back the file descriptors."""
        self._resources.close()

    def sockets_from(self, prefix: IPv6Network) -> list[SocketInfo]:
        """TCP, UDP, raw and ping sockets whose local address is in ``prefix``.

        Without the remains of closed connections (TIME_WAIT), which no application waits for.
        TCP sockets that are bound and no more are seen since Linux 6.8. Raises NetlinkError if the
        kernel refuses.
        """
        found = self._listed(socket.IPPROTO_TCP, prefix) + self._listed(socket.IPPROTO_UDP, prefix)
        for name, table in self._tables.items():
            table.seek(0)
            rows = table.read().decode().splitlines()[1:]
            infos = [_table_row(name, row) for row in rows]
            found += [info for info in infos if info.source in prefix]
        return found

    def _listed(self, protocol: int, prefix: IPv6Network) -> list[SocketInfo]:
        request = _REQUEST.pack(socket.AF_INET6, protocol, 0, _LISTED_STATES, *_ANY_SOCKET)
        condition = attribute(_INET_DIAG_REQ_BYTECODE, _source_condition(prefix))
        answers = self._netlink.dump(Message(_SOCK_DIAG_BY_FAMILY, request + condition))
        return [
            _socket_info(answer.payload, protocol)
            for answer in answers
            # A closed connection in FIN_WAIT2 is kept like one in TIME_WAIT.
            if answer.payload[2] != _TIMER_TIME_WAIT
        ]

    def destroy(self, info: SocketInfo) -> bool:
        """End a TCP or UDP socket: its owner's calls fail with ECONNABORTED from now on.

        One that was bound to a port, or listening, stays listed until its owner closes it.
        False where there is no such socket any more, or it cannot be ended: a raw or ping socket,
        or a TCP socket that is only bound. Raises NetlinkError if the kernel does not allow it.
        """
        if not info.cookie:
            return False
        request = _REQUEST.pack(
            socket.AF_INET6,
            info.protocol,
            0,
            1 << info.state,
            info.source_port.to_bytes(2, "big"),
            info.destination_port.to_bytes(2, "big"),
            info.source.packed,
            info.destination.packed,
            info.interface,
            info.cookie & 0xFFFFFFFF,
            info.cookie >> 32,
        )
        (error,) = self._netlink.request([Message(_SOCK_DESTROY, request)])
        if error is None:
            return True
        if error.errno == errno.ENOENT:
            return False
        raise error


class DestroyMonitor:
    """Tells of every IPv6 TCP and UDP socket that ends; other kinds end unheard.

    It does so for the network namespace of the thread that creates it. Raises PermissionError
    without CAP_NET_ADMIN.
    """

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(
            NETLINK_SOCK_DIAG, (_SKNLGRP_INET6_TCP_DESTROY, _SKNLGRP_INET6_UDP_DESTROY)
        )

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._netlink.fileno()

    def read(self) -> list[int]:
        """The cookies of the sockets that ended since the last time, without waiting.

        Nothing else tells which one it was: a connected one that was never bound may have lost its
        address by then. Raises `Overrun` when the end of some was missed: then ask
        `SockDiag.sockets_from`.
        """
        return [_cookie(message.payload) for message in self._netlink.receive()]


def socket_cookie(sock: socket.socket) -> int:
    """The number that names ``sock`` in this kernel, never used again until the next boot."""
    cookie: int
    (cookie,) = _U64.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _U64.size))
    return cookie


def network_cookie() -> int:
    """The number that names our network namespace, never used again until the next boot."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        cookie: int
        (cookie,) = _U64.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, _U64.size))
        return cookie


def _source_condition(prefix: IPv6Network) -> bytes:
    """The kernel's filter program: is the local address in ``prefix``, with any port?"""
    size = _SOURCE_CONDITION.size
    reject = size + 4  # a jump to just behind the end
    return _SOURCE_CONDITION.pack(
        _INET_DIAG_BC_S_COND,
        size,
        reject,
        socket.AF_INET6,
        prefix.prefixlen,
        -1,
        prefix.network_address.packed,
    )


def _socket_info(answer: bytes, protocol: int) -> SocketInfo:
    _, state, _, *identity, uid, inode = _ANSWER.unpack_from(answer)
    source_port, destination_port, source, destination, interface, low, high = identity
    return SocketInfo(
        cookie=low | high << 32,
        protocol=protocol,
        source=IPv6Address(source),
        source_port=int.from_bytes(source_port, "big"),
        destination=IPv6Address(destination),
        destination_port=int.from_bytes(destination_port, "big"),
        interface=interface,
        state=SocketState(state),
        uid=uid,
        inode=inode,
    )


def _cookie(answer: bytes) -> int:
    low, high = _ANSWERED_COOKIE.unpack_from(answer)
    return int(low | high << 32)


def _table_row(table: str, row: str) -> SocketInfo:
    """A line of ``/proc/net/raw6`` or ``/proc/net/icmp6``.

    In the place of the local port one has the protocol, the other the identifier of the echo.
    """
    _, local, remote, state, _, _, _, uid, _, inode, *_ = row.split()
    source, number = _endpoint(local)
    destination, _ = _endpoint(remote)
    is_raw = table == _RAW_TABLE
    return SocketInfo(
        cookie=0,
        protocol=number if is_raw else socket.IPPROTO_ICMPV6,
        source=source,
        source_port=0 if is_raw else number,
        destination=destination,
        destination_port=0,
        interface=0,
        state=SocketState(int(state, 16)),
        uid=int(uid),
        inode=int(inode),
    )


def _endpoint(text: str) -> tuple[IPv6Address, int]:
    """Address and port of ``/proc/net``: the address is four words in the machine's byte order."""
    address, port = text.split(":")
    words = (int(address[start : start + 8], 16) for start in range(0, 32, 8))
    return IPv6Address(struct.pack("=4I", *words)), int(port, 16)
