"""Why a process or a socket has the address that it has: the chain of decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv6Address

import msgspec

from moorage.errors import from_status
from moorage.host.admission import Judgement
from moorage.host.caller import Caller
from moorage.host.known import Known
from moorage.host.policy import Decision
from moorage.host.survey import SocketView
from moorage.host.view import AddressView
from moorage.kernel.processes import Process
from moorage.wire.app import Reply

ProgramOf = Callable[[int], Caller | None]
"""Says of a process for whom addresses were asked by default, if they were.

It is who became a program by `moorage run`, or the control group to which a rule gives a type.
"""


class StepView(msgspec.Struct, frozen=True):
    """One link in the chain: what was looked at, what was found, and whether it ended there."""

    about: str
    found: str
    refused: bool


class AnswerView(msgspec.Struct, frozen=True):
    """What a process was told: an address and for how many seconds it is valid, or an error."""

    address: IPv6Address | None
    valid_for: int
    error: str


class RequestView(msgspec.Struct, frozen=True):
    """A request for an address, and how it was decided.

    Attributes:
        ago: seconds since then.
        pid: the process that asked, ...
        uid: ... its effective user.
        cgroup: the control group for which a rule asked; none: a process did.
        cookie: of the socket that it was for; none: it was for none.
        steps: what was looked at, in order.
        answer: none: the process waits, or went away.
    """

    ago: float
    pid: int
    uid: int
    cgroup: str | None
    cookie: int | None
    steps: list[StepView]
    answer: AnswerView | None


class UseView(msgspec.Struct, frozen=True):
    """A socket, its address, and the last request for it.

    Attributes:
        request: without a cookie, that of `moorage run` or of a rule for a control group, by which
            the kernel was told to choose the address; none: the daemon was not asked, or has
            forgotten it, so the program itself chose the address, or the kernel did.
    """

    socket: SocketView
    address: AddressView
    request: RequestView | None


class WhyView(msgspec.Struct, frozen=True):
    """All that there is to say of a process, or of the sockets on an address.

    Attributes:
        process: none: the question was about an address.
        permitted: the types that it may have.
        policy: what would be looked at if it asked now and named no type.
        uses: the sockets.
        requests: its requests for sockets that are no longer there, or for none.
    """

    process: Process | None
    permitted: list[str]
    policy: list[StepView]
    uses: list[UseView]
    requests: list[RequestView]


def of_sockets(
    known: Known,
    sockets: Iterable[SocketView],
    addresses: Iterable[AddressView],
    program_of: ProgramOf,
    now: float,
) -> WhyView:
    """Return why these sockets have their addresses."""
    return WhyView(None, [], [], _uses(known, sockets, addresses, program_of, now), [])


def of_process(
    known: Known,
    process: Process,
    caller: Caller,
    sockets: Iterable[SocketView],
    addresses: Iterable[AddressView],
    program_of: ProgramOf,
    now: float,
) -> WhyView:
    """Return what a process may have, and what it has; ``caller`` is what policy sees of it."""
    decision = known.admission.policy.decide(caller, None, known.networks.policy)
    uses = _uses(known, sockets, addresses, program_of, now)
    told = {use.request.cookie if use.request else use.socket.cookie for use in uses}
    return WhyView(
        process=process,
        permitted=sorted(kind.slug for kind in decision.permitted),
        policy=_steps(decision),
        uses=uses,
        requests=[
            _request(judgement, now)
            for judgement in known.admission.judgements
            if judgement.caller.pid == process.pid
            and judgement.caller.started in (None, caller.started)
            and judgement.cookie not in told
        ],
    )


def _uses(
    known: Known,
    sockets: Iterable[SocketView],
    addresses: Iterable[AddressView],
    program_of: ProgramOf,
    now: float,
) -> list[UseView]:
    by_socket: dict[int, Judgement] = {}
    by_program: dict[Caller, Judgement] = {}
    for judgement in known.admission.judgements:
        if judgement.cookie is None:
            by_program[judgement.caller] = judgement
        else:
            by_socket[judgement.cookie] = judgement

    def request(socket: SocketView) -> RequestView | None:
        found = by_socket.get(socket.cookie)
        programs = (program_of(process.pid) for process in socket.processes)
        for program in programs if found is None else ():
            found = found or (None if program is None else by_program.get(program))
        return _request(found, now) if found is not None else None

    by_address = {view.address: view for view in addresses}
    return [
        UseView(socket, by_address[socket.address], request(socket))
        for socket in sockets
        if socket.address in by_address
    ]


def _request(judgement: Judgement, now: float) -> RequestView:
    return RequestView(
        ago=now - judgement.at,
        pid=judgement.caller.pid,
        uid=judgement.caller.uid,
        cgroup=judgement.caller.cgroup if judgement.caller.is_group else None,
        cookie=judgement.cookie,
        steps=_steps(judgement.decision),
        answer=_answer(judgement.answer) if judgement.answer is not None else None,
    )


def _answer(reply: Reply) -> AnswerView:
    if reply.status:
        return AnswerView(None, 0, str(from_status(reply.status, reply.reason)))
    return AnswerView(reply.address, reply.valid_for, "")


def _steps(decision: Decision) -> list[StepView]:
    return [StepView(step.about, step.found, bool(step.refusal)) for step in decision.steps]
