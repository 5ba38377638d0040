"""Netlink messages and sockets: the transport below everything that we ask of the kernel.

The formats are those of ``<linux/netlink.h>``: a message is a header of 16 bytes, a body whose
fixed part depends on the family, and attributes (type, length, value), padded to four bytes, which
may be nested. All integers are in the byte order of the machine, unless a family says otherwise.

The kernel handles a request inside ``send()``: when that returns, the answer waits to be read. So
everything here is synchronous, except for what multicast groups bring (`NetlinkSocket.receive`).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from moorage.kernel import socket_filter

T = TypeVar("T")

NETLINK_ROUTE: Final = 0
NETLINK_SOCK_DIAG: Final = 4
NETLINK_NETFILTER: Final = 12
NETLINK_GENERIC: Final = 16

NLM_F_REQUEST: Final = 0x001
NLM_F_ACK: Final = 0x004
NLM_F_DUMP_INTR: Final = 0x010
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800

_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200

_NLMSG_NOOP: Final = 1
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3

_NLMSGERR_ATTR_MSG: Final = 1

_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33

_NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_S32: Final = struct.Struct("=i")
_U32_ATTRIBUTE: Final = struct.Struct("=HHI")
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")

_BUFFER_BYTES: Final = 4 << 20
_DATAGRAM_BYTES: Final = 1 << 18
_BATCH_MESSAGES: Final = 128
"""Messages in one ``send()``: so few that their errors fit even a socket's default buffer."""
_DUMP_ATTEMPTS: Final = 8


class NetlinkError(OSError):
    """The kernel refused a request; the text holds its own explanation, if it gave one."""


class Overrun(OSError):
    """Notifications were lost, since they came faster than they were read (ENOBUFS).

    Whoever relies on them has to read the whole state again.
    """


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message: its type, the body (fixed part and attributes) and flags.

    ``flags`` are those that change the meaning of a request, such as NLM_F_CREATE; the socket adds
    NLM_F_REQUEST and NLM_F_ACK, and the sequence number.
    """

    type: int
    payload: bytes
    flags: int = 0


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of the given type, padded."""
    size = len(value)
    return _ATTRIBUTE.pack(4 + size, kind) + value + _PADDING[size & 3]


def attribute_u32(kind: int, value: int) -> bytes:
    """One attribute that holds a 32-bit number in the machine's byte order."""
    return _U32_ATTRIBUTE.pack(8, kind, value)


def nested(kind: int, *attributes: bytes) -> bytes:
    """One attribute that holds other attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def parse_attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes of ``data`` from ``offset`` on, by type; of equal types the last one."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            raise NetlinkError(errno.EBADMSG, "attribute exceeds its message")
        found[kind & _NLA_TYPE_MASK] = data[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return found


class NetlinkSocket:
    """A netlink socket in the network namespace of the thread that opens it.

    Use one either for questions and requests, or for the notifications of multicast groups.
    Raises OSError where the kernel does not know the protocol or a group.
    """

    def __init__(self, protocol: int, groups: Iterable[int] = (), except_port: int = 0) -> None:
        """``groups`` are the numbers (not the bits) of multicast groups to join.

        Notifications of what the socket with the address ``except_port`` did are left out.
        """
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        try:
            for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            self._widen(_SO_RCVBUFFORCE, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._widen(_SO_SNDBUFFORCE, socket.SO_SNDBUF, _BUFFER_BYTES)
            if except_port:
                self._leave_out(except_port)
            self._socket.bind((0, 0))
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0
        self._interrupted = False
        self._sendable = _BUFFER_BYTES
        self._buffer = bytearray(_DATAGRAM_BYTES)

    def _widen(self, forced: int, limited: int, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, limited, size)

    def _leave_out(self, port: int) -> None:
        # The word of the header that holds the port is taken for one in network byte order.
        socket_filter.attach(
            self._socket,
            [
                (socket_filter.LOAD_WORD, 0, 0, 12),
                (socket_filter.IF_EQUAL, 0, 1, socket.htonl(port)),
                socket_filter.DROP,
                socket_filter.TAKE,
            ],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self._socket.close()

    def fileno(self) -> int:
        """The file descriptor, for an event loop."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The address of this socket, which the kernel puts into notifications of its changes."""
        return int(self._socket.getsockname()[0])

    def request(self, messages: Sequence[Message]) -> list[NetlinkError | None]:
        """Have the kernel carry out ``messages`` in order, each for itself.

        The result has an entry for each message: None where it was carried out, else the error.
        A failed message does not keep the later ones from being carried out.
        """
        results: list[NetlinkError | None] = []
        for start in range(0, len(messages), _BATCH_MESSAGES):
            results += self._batch(messages[start : start + _BATCH_MESSAGES])
        return results

    def _batch(self, messages: Sequence[Message]) -> list[NetlinkError | None]:
        # Errors are always reported, so that only the last message needs an acknowledgement.
        first = self._send(messages, len(messages) - 1)
        results: list[NetlinkError | None] = [None] * len(messages)
        while True:
            for position, kind, flags, payload in self._answers(first):
                if kind == _NLMSG_ERROR and position < len(messages):
                    results[position] = _error(flags, payload)
                    if position == len(messages) - 1:
                        return results

    def transaction(
        self, begin: Message, messages: Sequence[Message], end: Message
    ) -> list[NetlinkError | None]:
        """Carry out all of ``messages`` or none, between the family's ``begin`` and ``end``.

        This is how nf_tables wants its changes. The result is as for `request`: when any entry is
        an error, nothing was changed. Raises NetlinkError if the whole transaction was refused.
        """
        if not messages:
            return []
        last = len(messages)
        first = self._send((begin, *messages, end), last)
        results: list[NetlinkError | None] = [None] * len(messages)
        while True:
            for position, kind, flags, payload in self._answers(first):
                if kind != _NLMSG_ERROR or position > last:
                    continue
                error = _error(flags, payload)
                if position == 0:
                    if error is not None:
                        raise error
                    continue
                results[position - 1] = error
                if position == last:
                    return results

    def query(self, message: Message) -> list[Message]:
        """The kernel's answers to one question. Raises NetlinkError if it refuses."""
        return list(self._query(message))

    def dump(self, message: Message) -> list[Message]:
        """Everything that the kernel lists for ``message``; asked again when it changed meanwhile.

        Raises NetlinkError if the kernel refuses, or changes faster than it can be listed.
        """
        found, exact = self.dump_into(list, message)
        if not exact:
            raise NetlinkError(errno.EINTR, "the table changed during every attempt to list it")
        return found

    def dump_into(
        self, gather: Callable[[Iterator[Message]], T], message: Message
    ) -> tuple[T, bool]:
        """What ``gather`` makes of all that the kernel lists, and whether the list is exact.

        For a table that may be very large: ``gather`` takes up all messages and need keep none.
        Where the table changed during every attempt, something may be twice in the last list, or
        missing. Raises NetlinkError if the kernel refuses.
        """
        question = Message(message.type, message.payload, message.flags | NLM_F_DUMP)
        for _ in range(_DUMP_ATTEMPTS):
            found = gather(self._query(question))
            if not self._interrupted:
                break
        return found, not self._interrupted

    def _query(self, message: Message) -> Iterator[Message]:
        first = self._send((message,), 0)
        self._interrupted = False
        while True:
            for _, kind, flags, payload in self._answers(first):
                self._interrupted = self._interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    error = _error(flags, payload)
                    if error is not None:
                        raise error
                    return
                yield Message(kind, payload, flags)

    def receive(self) -> list[Message]:
        """All notifications that are waiting; none is an empty list.

        Raises Overrun when some were lost; what is still waiting can be read afterwards.
        """
        found: list[Message] = []
        while True:
            try:
                found += (
                    Message(kind, payload, flags)
                    for kind, flags, _, payload in self._datagram(socket.MSG_DONTWAIT)
                )
            except BlockingIOError:
                return found

    def _send(self, messages: Sequence[Message], acknowledged: int) -> int:
        """Send ``messages`` at once; the one at ``acknowledged`` is answered in any case."""
        first = sequence = self._sequence
        parts: list[bytes] = []
        for position, message in enumerate(messages):
            size = len(message.payload)
            flags = message.flags | NLM_F_REQUEST
            if position == acknowledged:
                flags |= NLM_F_ACK
            header = _HEADER.pack(16 + size, message.type, flags, sequence, 0)
            parts += (header, message.payload, _PADDING[size & 3])
            sequence = (sequence + 1) & 0xFFFFFFFF
        self._sequence = sequence
        data = b"".join(parts)
        if len(data) > self._sendable:  # a transaction cannot be sent in parts
            self._widen(_SO_SNDBUFFORCE, socket.SO_SNDBUF, len(data))
            self._sendable = len(data)
        self._socket.send(data)
        return first

    def _answers(self, first: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Position in the batch that began with ``first``, type, flags and body of messages."""
        for kind, flags, sequence, payload in self._datagram(0):
            yield (sequence - first) & 0xFFFFFFFF, kind, flags, payload

    def _datagram(self, how: int) -> list[tuple[int, int, int, bytes]]:
        """Type, flags, sequence number and body of the messages in the next datagram."""
        try:
            size, (sender, _) = self._socket.recvfrom_into(self._buffer, 0, how | socket.MSG_TRUNC)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise Overrun(errno.ENOBUFS, "netlink messages were lost") from None
            raise
        if sender != 0:  # not the kernel
            return []
        if size > len(self._buffer):
            raise NetlinkError(errno.EMSGSIZE, f"a netlink datagram of {size} bytes")
        found = []
        offset = 0
        while offset + 16 <= size:
            length, kind, flags, sequence, _ = _HEADER.unpack_from(self._buffer, offset)
            if length < 16 or offset + length > size:
                raise NetlinkError(errno.EBADMSG, "message exceeds its datagram")
            if kind != _NLMSG_NOOP:
                payload = bytes(self._buffer[offset + 16 : offset + length])
                found.append((kind, flags, sequence, payload))
            offset += (length + 3) & ~3
        return found


def _error(flags: int, payload: bytes) -> NetlinkError | None:
    """What an NLMSG_ERROR or NLMSG_DONE says; None for an acknowledgement."""
    code = -_S32.unpack_from(payload)[0] if len(payload) >= 4 else 0
    if code <= 0:
        return None
    text = os.strerror(code)
    if flags & _NLM_F_ACK_TLVS:
        # NLMSG_ERROR repeats the request's header between the code and the attributes.
        explanations = parse_attributes(payload, 20 if flags & _NLM_F_CAPPED else 4)
        explanation = explanations.get(_NLMSGERR_ATTR_MSG, b"")
        if explanation:
            text += ": " + explanation.rstrip(b"\0").decode(errors="replace")
    return NetlinkError(code, text)
