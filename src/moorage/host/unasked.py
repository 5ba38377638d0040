"""The shell around sockets that get an address of a type without asking: whose, and which.

Programs that are run with a type (`moorage.host.programs`), and control groups to which a rule
gives one (`moorage.host.group_defaults`). The core knows both as clients, and steers them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address
from pathlib import Path

from moorage.host.actions import Action
from moorage.host.applications import Application
from moorage.host.caller import Caller
from moorage.host.core import HostCore
from moorage.host.group_defaults import DefaultGroup, find_group_defaults
from moorage.host.peer import control_group
from moorage.host.policy import Policy
from moorage.host.programs import Program, find_programs
from moorage.host.waiting import refusal
from moorage.kernel.default_source import HookedSource
from moorage.kernel.hooks import Hooks
from moorage.kernel.sock_diag import network_cookie
from moorage.wire.app import Reason, Reply, Request


class Unasked:
    """What the core is told of them, and what becomes of its answers.

    Args:
        core: the host's.
        hooks: those that guard addresses, if there are any: they let these sockets have theirs.
        do: does what the core wants done.
        clock: the core's.
        complain: takes what goes wrong and nobody waits to hear.
    """

    def __init__(
        self,
        core: HostCore,
        hooks: Hooks | None,
        do: Callable[[list[Action]], None],
        clock: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._core = core
        self._do = do
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        kept, network = None if hooks is None else hooks.kept, network_cookie()
        self._programs = find_programs(
            network, lambda group, type_: HookedSource(group, network, type_, kept), complain
        )
        self._groups = find_group_defaults(
            lambda group, type_: HookedSource(group, network, type_, kept), complain
        )

    def start(self, policy: Policy) -> None:
        """Take up what an earlier life has left, and follow what comes and goes."""
        if self._programs is not None:
            self._loop.add_reader(self._programs, self._read_programs)
            for program in self._programs.restore():
                self._run(program)
        if self._groups is not None:
            self._loop.add_reader(self._groups, self._read_groups)
            self.go_by(policy)

    def go_by(self, policy: Policy) -> None:
        """Go by another policy from now on."""
        if self._groups is not None:
            self._groups.go_by(policy)
            self._read_groups()

    def close(self) -> None:
        """Leave all of them to the kernel."""
        for each in (self._programs, self._groups):
            if each is not None:
                self._loop.remove_reader(each)
                each.close()

    def program_of(self, pid: int) -> Caller | None:
        """Return for whom the addresses of a process were asked, if they were by default.

        It reads ``/proc`` alone, and may be called by other threads.
        """
        try:
            cgroups = Path("/proc", str(pid), "cgroup").read_text()
        except OSError:
            return None
        program = None if self._programs is None else self._programs.within(cgroups)
        if program is not None or self._groups is None:
            return program
        _, cgroup = control_group(cgroups)
        return None if cgroup is None else self._groups.within(cgroup)

    def request(self, application: Application, request: Request) -> None:
        """Take in that an application wants to become a program with a type by default."""
        if self._programs is None:
            application.answer(refusal(application, request.id, Reason.NO_HOOKS).reply)
        else:
            self._run(self._programs.begin(application, request))

    def hung_up(self, application: Application) -> None:
        """Take in that an application waits no longer."""
        if self._programs is not None:
            for program in self._programs.of(application):
                self._end(program)

    def steer(self, client: Hashable, address: IPv6Address | None) -> None:
        """Let the sockets of a client have another address, or none. Raises OSError."""
        if isinstance(client, DefaultGroup):
            client.steer(address)
        elif self._programs is not None and isinstance(client, Program):
            self._programs.steer(client, address)

    def answer(self, program: Program, reply: Reply) -> Reply | None:
        """Start a program that has an address, and answer it; see `Programs.answer`."""
        assert self._programs is not None
        told = self._programs.answer(program, reply)
        if told is not None and told.status != 0:
            self._end(program)
        return told

    def _run(self, client: Program | DefaultGroup) -> None:
        self._do(self._core.run(client, client.caller, client.request, self._clock()))

    def _read_programs(self) -> None:
        assert self._programs is not None
        for program in self._programs.take_ended():
            self._forget(program)

    def _read_groups(self) -> None:
        assert self._groups is not None
        over, new = self._groups.follow()
        for group in over:
            self._forget(group)
        for group in new:
            self._run(group)

    def _end(self, program: Program) -> None:
        assert self._programs is not None
        self._programs.end(program)
        self._forget(program)

    def _forget(self, client: Program | DefaultGroup) -> None:
        self._do(self._core.client_gone(client, self._clock()))
