"""Control groups to which a rule gives a type: sockets in them get its address without asking."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address
from pathlib import PurePosixPath

from moorage.host.caller import Caller
from moorage.host.peer import unit_of
from moorage.host.policy import Policy
from moorage.kernel.bpf import cgroup
from moorage.kernel.default_source import DefaultSource, Hook
from moorage.kernel.group_watch import GroupWatch, PopulatedGroups
from moorage.service import ServiceType
from moorage.wire.app import Operation, Request

_log = logging.getLogger("moorage.host")


class DefaultGroup:
    """A control group with a type, from when we choose there.

    Attributes:
        path: as ``/proc/PID/cgroup`` has it.
        number: of the group; another one may have that path later.
        service: the type.
        caller: who asks for what is in it. Nobody there did, so it is the system.
        request: what for.
    """

    def __init__(self, path: str, number: int, service: ServiceType, source: DefaultSource) -> None:
        self.path = path
        self.number = number
        self.service = service
        self.caller = Caller(0, None, 0, frozenset(), unit=unit_of(path), cgroup=path)
        self.request = Request(0, Operation.RUN, service, on_net=False, timeout_ms=0)
        self._source = source

    def steer(self, address: IPv6Address | None) -> None:
        """Let sockets have another address; none: the kernel's choice, since nobody asked."""
        if address is None:
            self._source.leave()
        else:
            self._source.choose(address)

    def close(self) -> None:
        """Leave it to the kernel again."""
        self._source.close()


class GroupDefaults:
    """The groups of this machine that have a type by the policy in force, and processes.

    Args:
        groups: all that have processes.
        hook: chooses sources in one of them.
        complain: takes what goes wrong and nobody waits to hear.
    """

    def __init__(
        self, groups: PopulatedGroups, hook: Hook, complain: Callable[[str], None]
    ) -> None:
        self._groups = groups
        self._hook = hook
        self._complain = complain
        self._policy: Policy | None = None
        self._chosen: dict[str, DefaultGroup] = {}
        self._works = True

    def fileno(self) -> int:
        """Readable when there may be something to `follow`."""
        return self._groups.fileno()

    def go_by(self, policy: Policy) -> None:
        """Go by another policy from the next `follow` on."""
        if policy.knows_groups or self._policy is not None:
            self._policy = policy
            self._groups.want(lambda path: policy.default_within(path) is not None)

    def follow(self) -> tuple[list[DefaultGroup], list[DefaultGroup]]:
        """Return the groups that are over and those that are new since the last time."""
        present = self._groups.read()
        wanted = {} if self._policy is None else _types(present, self._policy)
        over = [
            each
            for path, each in self._chosen.items()
            if (present.get(path), wanted.get(path)) != (each.number, each.service)
        ]
        for group in over:
            del self._chosen[group.path]
            group.close()
        missing = {path: wanted[path] for path in wanted if path not in self._chosen}
        begun = [self._begin(path, present[path], service) for path, service in missing.items()]
        return over, [group for group in begun if group is not None]

    def within(self, cgroup: str) -> Caller | None:
        """Return as whom a group asks that has a type, or the innermost around it that has."""
        chosen = dict(self._chosen)
        around = (chosen[path] for path in _inside_out(cgroup) if path in chosen)
        innermost = next(around, None)
        return None if innermost is None else innermost.caller

    def close(self) -> None:
        """Leave them all to the kernel."""
        for group in self._chosen.values():
            group.close()
        self._groups.close()

    def _begin(self, path: str, number: int, service: ServiceType) -> DefaultGroup | None:
        folder = self._groups.folder(path)
        try:
            source = self._hook(folder, service)
        except OSError as error:
            if self._works and folder.is_dir():  # otherwise it is gone by now
                self._works = False
                self._complain(f"defaults of rules hold in no control group: {error.strerror}")
            return None
        group = self._chosen[path] = DefaultGroup(path, number, service, source)
        _log.info("%s: %s by default", path, service.slug)
        return group


def find_group_defaults(hook: Hook, complain: Callable[[str], None]) -> GroupDefaults | None:
    """Return the groups that have a type, if there can be any on this machine."""
    try:
        return GroupDefaults(GroupWatch(cgroup.root(), complain), hook, complain)
    except OSError as error:
        _log.info("defaults of rules hold in no control group: %s", error)
        return None


def _types(present: Iterable[str], policy: Policy) -> dict[str, ServiceType]:
    """Return the types of groups; not those of a group within one that has the same."""
    found: dict[str, ServiceType] = {}
    for path in sorted(present):
        service = policy.default_within(path)
        around = (found[each] for each in _inside_out(path) if each in found)
        if service is not None and service != next(around, None):
            found[path] = service
    return found


def _inside_out(path: str) -> list[str]:
    """Return the path of a group, and those of all around it."""
    return [path, *map(str, PurePosixPath(path).parents)]
