"""A connection with traffic on it all the time, and what nodes have in their kernels."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Self

from moorage.kernel.addresses import NetlinkAddressTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Remove, Route, Rule
from moorage.lab.lab import Node
from moorage.numbers import ROUTE_PROTOCOL
from tests.conformance.scene import PATIENCE, Connection

_PACE = 0.005
"""Seconds between two rounds, so that the traffic leaves the machine to the daemons."""


class Flow:
    """Bytes that go to and fro over a connection until the flow is ended."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._rounds = 0
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the traffic and close both sockets."""
        self._over.set()
        self._thread.join()
        self.connection.near.close()
        self.connection.far.close()

    def goes_on(self) -> bool:
        """Wait until bytes have passed in both directions that were sent after this call."""
        with self._turn:
            enough = self._rounds + 2
            self._turn.wait_for(lambda: self._failure or self._rounds >= enough, PATIENCE)
            if self._failure is not None:
                raise self._failure
            return self._rounds >= enough

    def _run(self) -> None:
        try:
            while not self._over.wait(_PACE):
                assert self.connection.works()
                with self._turn:
                    self._rounds += 1
                    self._turn.notify_all()
        except BaseException as failure:
            with self._turn:
                self._failure = failure
                self._turn.notify_all()


def routes(node: Node) -> set[Route]:
    """The routes of ours in a node's kernel."""

    def listed() -> set[Route]:
        with closing(NetlinkRouteTable()) as table:
            return table.routes(ROUTE_PROTOCOL)

    return node.call(listed)


def rules(node: Node) -> set[Rule]:
    """The rules of ours in a node's kernel."""

    def listed() -> set[Rule]:
        with closing(NetlinkRouteTable()) as table:
            return table.rules(ROUTE_PROTOCOL)

    return node.call(listed)


def flush(node: Node) -> None:
    """Remove all of our routes and rules behind the back of the node's daemon."""

    def removed() -> None:
        with closing(NetlinkRouteTable()) as table:
            table.apply([Remove(route) for route in table.routes(ROUTE_PROTOCOL)])
            for rule in table.rules(ROUTE_PROTOCOL):
                table.remove_rule(rule)

    node.call(removed)


def flush_addresses(node: Node) -> None:
    """Remove all typed addresses behind the back of the node's daemon."""

    def removed() -> None:
        with closing(NetlinkAddressTable()) as table:
            for address in table.addresses(ROUTE_PROTOCOL):
                table.remove(address)

    node.call(removed)
