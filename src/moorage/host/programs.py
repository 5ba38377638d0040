"""Programs that `moorage run` starts: each in a control group whose sockets get its address."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from ipaddress import IPv6Address

from moorage.host.applications import Application
from moorage.host.caller import Caller
from moorage.host.peer import describe
from moorage.host.waiting import refusal
from moorage.kernel.bpf import cgroup
from moorage.kernel.cgroups import CgroupTree, ControlGroups, Group
from moorage.kernel.default_source import DefaultSource, Hook
from moorage.service import ServiceType
from moorage.wire.app import Operation, Reason, Reply, Request

_log = logging.getLogger("moorage.host")

_NETWORK = "ns/net"


class Program:
    """A program, which has its control group from when it has an address."""

    def __init__(self, caller: Caller, request: Request, application: Application | None) -> None:
        self.caller = caller
        self.request = request
        self.application = application
        self.group: Group | None = None
        self.source: DefaultSource | None = None
        self.address: IPv6Address | None = None

    @property
    def service(self) -> ServiceType:
        """The type; the request's is a valid one from when it was granted."""
        return ServiceType(self.request.type)


class Programs:
    """The programs of this host.

    Args:
        groups: their control groups.
        hook: chooses sources in one of them.
        complain: takes what goes wrong and nobody waits to hear.
    """

    def __init__(self, groups: ControlGroups, hook: Hook, complain: Callable[[str], None]) -> None:
        self._groups = groups
        self._hook = hook
        self._complain = complain
        self._programs: set[Program] = set()

    def fileno(self) -> int:
        """Readable when there may be something to `take_ended`."""
        return self._groups.fileno()

    def restore(self) -> list[Program]:
        """Return the programs that an earlier life of the daemon has left; they run still."""
        for group in self._groups.restore():
            try:
                program = _found(self._groups.members(group), group)
                program.source = self._hook(group.path, program.service)
                program.source.choose(None)
            except (OSError, ValueError) as error:
                self._complain(f"{group.path}: its programs get ordinary addresses: {error}")
            else:
                self._programs.add(program)
        return list(self._programs)

    def begin(self, application: Application, request: Request) -> Program:
        """Take in that an application wants to become a program with a type by default."""
        program = Program(application.caller, request, application)
        self._programs.add(program)
        return program

    def steer(self, program: Program, address: IPv6Address | None) -> None:
        """Let the sockets of a program have another address, or none."""
        program.address = address
        if program.source is not None:
            program.source.choose(address)

    def answer(self, program: Program, reply: Reply) -> Reply | None:
        """Start a program that has an address, and answer it; return what it was told, if it waits.

        It is over at once if that is not what it wanted to hear.
        """
        application, program.application = program.application, None
        if application is None:
            return None
        if reply.status == 0:
            try:
                self._start(program)
            except OSError as error:
                self._complain(f"process {program.caller.pid} is left to itself: {error}")
                reply = refusal(program, reply.id, Reason.NO_HOOKS).reply
        application.answer(reply)
        return reply

    def within(self, cgroups: str) -> Caller | None:
        """Return who became the program that is in these groups, if one is."""
        for program in list(self._programs):
            if program.group is not None and program.group.path.name in cgroups:
                return program.caller
        return None

    def of(self, application: Application) -> list[Program]:
        """Return the programs that an application waits to become."""
        return [each for each in self._programs if each.application is application]

    def take_ended(self) -> list[Program]:
        """Return the programs of which no process is left; their groups are gone."""
        gone = self._groups.take_empty()
        ended = [each for each in self._programs if each.group in gone]
        for program in ended:
            self.end(program)
        return ended

    def end(self, program: Program) -> None:
        """Forget a program."""
        self._programs.discard(program)
        if program.source is not None:
            program.source.close()
        if program.group is not None:
            self._groups.discard(program.group)

    def close(self) -> None:
        """End what we do for programs, which go on with ordinary addresses."""
        for program in self._programs:
            if program.source is not None:
                program.source.close()
        self._groups.close()

    def _start(self, program: Program) -> None:
        """Put a program into a control group.

        Raises:
            OSError: it is gone, it is somewhere else, or our rights do not suffice.
        """
        pid, started = program.caller.pid, program.caller.started
        if started is None or describe(pid).started != started:
            raise OSError("it is gone, or cannot be seen from here")
        if not os.path.samefile(f"/proc/{pid}/{_NETWORK}", f"/proc/self/{_NETWORK}"):
            raise OSError("it is in another network namespace")
        program.group = self._groups.make(program.service.slug, pid)
        program.source = self._hook(program.group.path, program.service)
        program.source.choose(program.address)
        self._groups.enter(program.group, pid)


def find_programs(network: int, hook: Hook, complain: Callable[[str], None]) -> Programs | None:
    """Return the programs of a network namespace, if there can be any on this machine."""
    try:
        groups = CgroupTree(cgroup.root(), network)
    except OSError as error:
        _log.info("programs have to ask for addresses themselves: %s", error)
        return None
    return Programs(groups, hook, complain)


def _found(members: list[int], group: Group) -> Program:
    """Return the program whose processes these are.

    Raises:
        OSError: it has ended just now.
        ValueError: the group's label is no type.
    """
    if not members:
        raise OSError("its processes are in other groups")
    service = ServiceType.from_slug(group.label)
    request = Request(0, Operation.RUN, service, on_net=False, timeout_ms=0)
    program = Program(describe(min(members)), request, None)
    program.group = group
    return program
