"""The steps of the draft's section 4.2 in order, each compared with what it promises."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv6Address
from typing import Final

from moorage.demo.flows import Connection, Flow, History, interruption
from moorage.demo.names import Names
from moorage.demo.observations import HostAddresses, Observer
from moorage.demo.report import Step
from moorage.lab.control import Moved
from moorage.lab.lab import Lab
from moorage.numbers import EAI_REQUIREDIPNOTSUPPORTED
from moorage.service import ServiceType
from moorage.store.model import Binding

_PATIENCE: Final = 5.0
"""Seconds that anything may take before it counts as not happening."""
_SIGHT_NS: Final = 1_000_000_000
"""How long the flows run between two events, so that one can see them in the picture."""

_SESSION_LASTING: Final = ServiceType.SESSION_LASTING
_NON_PERSISTENT: Final = ServiceType.NON_PERSISTENT
_GRACEFUL: Final = ServiceType.GRACEFUL_REPLACEMENT


class Scenario:
    """Plays the message flow with one host and two routers of a lab.

    Attributes:
        steps: what has been observed until now.
        flows: the applications, in the order of their launch.
    """

    def __init__(
        self,
        lab: Lab,
        observer: Observer,
        host: str,
        routers: tuple[str, str],
        server: tuple[IPv6Address, int],
        resources: ExitStack,
        tell: Callable[[Step], None],
    ) -> None:
        """Play in a lab whose daemons run while its host is not attached.

        The applications live as long as ``resources``; every step is told when it is over.
        """
        self._lab = lab
        self._observer = observer
        self._host = host
        self._old, self._new = routers
        self._server = server
        self._resources = resources
        self._tell = tell
        self._names = Names()
        self._binding: Binding | None = None
        self._first: IPv6Address | None = None
        self.steps: list[Step] = []
        self.flows: list[Flow] = []

    # ---- the message flow ------------------------------------------------------------------------

    def attach(self, interface: str) -> int:
        """Attach the host; return when it had carrier (ns of CLOCK_MONOTONIC)."""
        carrier = self._lab.attach(self._host, interface, self._old)

        def advertised(found: HostAddresses) -> bool:
            return any(self._observer.router_of(a) == self._old for a in found.ordinary)

        found = self._observer.wait_for_addresses(advertised, _PATIENCE)
        heard = _ms(time.monotonic_ns() - carrier)
        routers = self._observer.default_routers()
        self._step(
            "The mobile device attaches to the network.",
            f"{interface} has a link to {self._old}, and its router is heard",
            f"{interface} has carrier at {self._old}; heard {', '.join(routers) or 'no router'}"
            + (f" within {heard}" if routers else ""),
            bool(routers) and advertised(found),
        )
        found = self._observer.wait_for_addresses(lambda found: bool(found.typed), _PATIENCE)
        ready = _ms(time.monotonic_ns() - carrier)
        bindings = self._observer.bindings(_SESSION_LASTING)
        self._binding = bindings[0] if bindings else None
        self._first = min(found.ordinary, default=None)
        typed = [a for a in found.typed if self._binding and a in self._binding.prefix]
        seen = [self._described(_NON_PERSISTENT, a) for a in sorted(found.ordinary)]
        seen += [self._described(_SESSION_LASTING, a) for a in typed]
        self._step(
            "The network provides two prefixes: PREFsl1 (Session-lasting) and PREFnp1"
            " (Non-persistent).",
            f"one binding anchored and served by {self._old}, an address of each prefix",
            f"{_binding_text(self._binding)}; the kernel has {' and '.join(seen) or 'no address'}"
            f" within {ready} of the carrier",
            len(bindings) == len(typed) == len(found.ordinary) == 1
            and self._served_by(self._old)
            and advertised(found),
            self._routes(self._old),
        )
        return carrier

    def launch(self) -> None:
        """Launch the first three applications."""
        for number in (1, 2):
            flow = self._launch(f"app {number}", _NON_PERSISTENT)
            self._step(
                "An application is launched and requests a Non-persistent address."
                if number == 1
                else "Another application is launched, requesting a Non-persistent address.",
                f"{flow.name} calls setsc() with type {int(_NON_PERSISTENT)}",
                self._asked(flow),
                _has_asked(flow.history),
            )
            address = _address(flow)
            self._step(
                "The IP stack provides IPnp1, which is generated from PREFnp1."
                if number == 1
                else "The IP stack provides IPnp1 again.",
                f"{flow.name} is connected from IPnp1, {self._first}",
                f"{self._outcome(flow)}; TCP sockets on it: {self._sockets(address)}",
                address is not None and address == self._first and self._sockets(address) == number,
            )
        flow = self._launch("app 3", _SESSION_LASTING)
        self._step(
            "A third application is launched; it requires a Session-lasting address.",
            f"{flow.name} calls setsc() with type {int(_SESSION_LASTING)}",
            self._asked(flow),
            _has_asked(flow.history),
        )
        address = _address(flow)
        self._step(
            "The IP stack provides IPsl1, which is generated from PREFsl1.",
            f"{flow.name} is connected from IPsl1, of PREFsl1 {self._prefix_text()}",
            f"{self._outcome(flow)}; TCP sockets on it: {self._sockets(address)}",
            self._in_prefix(address) and self._sockets(address) == 1,
        )
        self._look()

    def move(self, *, soft: bool) -> Moved:
        """Move the host, and see what becomes of the applications."""
        moved = self._lab.move(self._host, self._new, soft=soft)
        attached = self._lab.status().nodes[self._host].attached
        gap = moved.up - moved.down
        self._step(
            "The mobile host moves to a new point of attachment.",
            f"{self._host} is at {self._new} and no longer at {self._old}",
            f"{moved.interface} had carrier at {self._new} {_ms(abs(gap))}"
            f" {'after' if gap > 0 else 'before'} the link to {self._old} was gone",
            attached[moved.interface] == self._new and self._old not in attached.values(),
        )
        self._new_prefix(moved)
        self._told(moved)
        self._goes_on(moved)
        return moved

    def ask_for_unsupported(self) -> None:
        """Launch an application that asks for Graceful-replacement first."""
        flow = self._launch("app 4", _GRACEFUL, _SESSION_LASTING)
        self._step(
            "A new application is launched, requiring a Graceful-replacement address.",
            f"{flow.name} calls setsc() with type {int(_GRACEFUL)}",
            self._asked(flow),
            _has_asked(flow.history),
        )
        refusals = flow.history.refusals
        refused = [one for one in refusals if one.service is _GRACEFUL]
        self._step(
            "The IP stack returns setsc() with an error, since the network does not support this"
            " service.",
            f"EAI_REQUIREDIPNOTSUPPORTED ({EAI_REQUIREDIPNOTSUPPORTED})",
            "; ".join(one.text for one in refused) or self._outcome(flow),
            [one.eai for one in refused] == [EAI_REQUIREDIPNOTSUPPORTED],
        )
        address = _address(flow)
        current = flow.history.connections[-1] if flow.history.connections else None
        retried = current is not None and current.service is _SESSION_LASTING
        self._step(
            "The application re-attempts to open a socket, requesting a Session-lasting address.",
            f"{flow.name} calls setsc() with type {int(_SESSION_LASTING)}",
            f"setsc() answered after {_ms(current.setsc_ns)}"
            if current is not None and retried
            else self._outcome(flow),
            retried,
        )
        self._step(
            "The IP stack provides IPsl1.",
            f"{flow.name} is connected from IPsl1, of PREFsl1 {self._prefix_text()}",
            f"{self._outcome(flow)}; TCP sockets on it: {self._sockets(address)}",
            retried and self._in_prefix(address) and self._sockets(address) == 2,
        )
        self._look()

    # ---- the steps after the move ----------------------------------------------------------------

    def _new_prefix(self, moved: Moved) -> None:
        def replaced(found: HostAddresses) -> bool:
            routers = {self._observer.router_of(address) for address in found.ordinary}
            return routers == {self._new}

        found = self._observer.wait_for_addresses(replaced, _PATIENCE)
        after = _ms(time.monotonic_ns() - max(moved.up, moved.down))
        seen = [self._described(_NON_PERSISTENT, address) for address in sorted(found.ordinary)]
        self._step(
            "The network provides a new Non-persistent prefix, PREFnp2. PREFnp1 is no longer"
            " valid.",
            f"an address of {self._new}'s prefix, none of {self._old}'s",
            f"{' and '.join(seen) or 'no address'}, {after} after the move",
            replaced(found) and self._first not in found.ordinary,
        )

    def _told(self, moved: Moved) -> None:
        observed, passed, addresses = [], True, set()
        for flow in self.flows:
            if flow.services != (_NON_PERSISTENT,):
                continue
            again = flow.wait(
                lambda history: (
                    len(history.connections) > 1
                    and history.arrived_after(history.connections[-1].start)
                ),
                _PATIENCE,
            )
            connections = flow.history.connections
            if not again:
                observed.append(f"{flow.name}: {self._outcome(flow)}")
                passed = False
                continue
            before, now = connections[0], connections[-1]
            addresses.add(now.address)
            passed = passed and before.error == "ECONNABORTED"
            observed.append(
                f"{flow.name}: {before.error} {_ms((before.end or 0) - moved.down)} after its link"
                f" was gone, connected again from {self._described(_NON_PERSISTENT, now.address)}"
                f" after {_ms(now.start - moved.down)}"
            )
        self._step(
            "The applications that were given IPnp1 re-establish the socket and receive IPnp2,"
            " which is generated from PREFnp2.",
            "both are told that IPnp1 is gone (ECONNABORTED), and are connected from IPnp2",
            "; ".join(observed),
            passed
            and len(addresses) == 1
            and all(self._observer.router_of(address) == self._new for address in addresses),
        )

    def _goes_on(self, moved: Moved) -> None:
        [flow] = [flow for flow in self.flows if flow.services == (_SESSION_LASTING,)]
        self._look(flow)
        self._binding = next(iter(self._observer.bindings(_SESSION_LASTING)), None)
        stall = interruption(flow.history.arrivals, min(moved.up, moved.down), time.monotonic_ns())
        lone: Connection | None = None
        if len(flow.history.connections) == 1:
            lone = flow.history.current
        prefix = self._binding.prefix if self._binding else None
        self._step(
            "The application that is using IPsl1 can still use it, since PREFsl1 is valid even"
            " after moving.",
            f"the same connection goes on; anchor {self._old}, served by {self._new}, an SRv6 path"
            " between them",
            (
                f"{flow.name} stalled for {_ms(stall.duration)} and goes on from"
                f" {self._described(_SESSION_LASTING, lone.address)}"
                if lone is not None and stall is not None
                else f"{flow.name}: {self._outcome(flow)}"
            )
            + f"; {_binding_text(self._binding)}",
            lone is not None
            and stall is not None
            and self._in_prefix(lone.address)
            and self._served_by(self._new)
            and prefix is not None
            and self._observer.is_anchored_path(prefix, self._old, self._new)
            and self._observer.has_host_route(prefix, moved.interface),
            self._routes(self._old, self._new),
        )

    # ---- helpers ---------------------------------------------------------------------------------

    def _step(
        self,
        text: str,
        expected: str,
        observed: str,
        passed: bool,
        details: tuple[str, ...] = (),
    ) -> None:
        step = Step(len(self.steps) + 1, text, expected, observed, passed, details)
        self.steps.append(step)
        self._tell(step)

    def _launch(self, name: str, *services: ServiceType) -> Flow:
        flow = Flow(name, self._lab.node(self._host), self._server, services)
        self._resources.enter_context(flow)
        self.flows.append(flow)
        flow.wait(
            lambda history: (
                history.current is not None
                or {refusal.service for refusal in history.refusals} == set(services)
            ),
            _PATIENCE,
        )
        return flow

    def _look(self, *flows: Flow) -> None:
        """Let the flows run for a while."""
        until = time.monotonic_ns() + _SIGHT_NS
        for flow in flows or self.flows:
            if flow.history.current is not None:
                flow.wait(lambda history: history.arrived_after(until), _PATIENCE)

    def _described(self, service: ServiceType, address: IPv6Address) -> str:
        return f"{self._names.name(service, address)} {address}"

    def names(self) -> dict[str, str]:
        """The draft's name of every address that a connection was made from."""
        return {
            str(connection.address): self._names.name(connection.service, connection.address)
            for flow in self.flows
            for connection in flow.history.connections
        }

    def _asked(self, flow: Flow) -> str:
        if flow.history.refusals:
            return f"setsc() failed after {_ms(flow.history.refusals[0].setsc_ns)}"
        if flow.history.connections:
            return f"setsc() answered after {_ms(flow.history.connections[0].setsc_ns)}"
        return f"no answer within {_PATIENCE:g} s"

    def _outcome(self, flow: Flow) -> str:
        history = flow.history
        if history.current is not None:
            connection = history.current
            return f"connected from {self._described(connection.service, connection.address)}"
        if history.connections:
            return f"its connection ended: {history.connections[-1].error}"
        if history.refusals:
            return history.refusals[-1].text
        if history.failures:
            return f"cannot connect: {history.failures[-1][1]}"
        return f"nothing within {_PATIENCE:g} s"

    def _sockets(self, address: IPv6Address | None) -> int:
        return 0 if address is None else self._observer.sockets_on(address)

    def _prefix_text(self) -> str:
        return str(self._binding.prefix) if self._binding else "(there is none)"

    def _in_prefix(self, address: IPv6Address | None) -> bool:
        return address is not None and self._binding is not None and address in self._binding.prefix

    def _served_by(self, router: str) -> bool:
        binding = self._binding
        return binding is not None and (binding.anchor, binding.serving) == (self._old, router)

    def _routes(self, *routers: str) -> tuple[str, ...]:
        if self._binding is None:
            return ()
        prefix = self._binding.prefix
        found = [f"{self._host}: {route}" for route in self._observer.host_routes(prefix)]
        for router in routers:
            found += (f"{router}: {one}" for one in self._observer.router_routes(router, prefix))
        return tuple(found)


def _ms(duration: int) -> str:
    """A duration in ns as text."""
    return f"{duration / 1e6:.1f} ms"


def _has_asked(history: History) -> bool:
    return bool(history.connections or history.refusals)


def _address(flow: Flow) -> IPv6Address | None:
    return flow.history.current.address if flow.history.current else None


def _binding_text(binding: Binding | None) -> str:
    if binding is None:
        return "no Session-lasting binding in the store"
    serving = binding.serving or "nobody"
    return f"PREFsl1 {binding.prefix} is anchored by {binding.anchor}, served by {serving}"
