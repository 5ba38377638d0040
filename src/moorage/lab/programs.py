"""Other people's unmodified programs in a lab: where they are, and servers for a while."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from moorage.lab.errors import LabError
from moorage.lab.lab import Node
from moorage.service import ServiceType


def find(name: str) -> str | None:
    """The path of a program, if this machine has it."""
    # Servers live where the search path of an ordinary user does not lead.
    folders = (os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin")
    return shutil.which(name, path=os.pathsep.join(folders))


def path_of(name: str) -> str:
    """The path of a program. Raises LabError if this machine does not have it."""
    found = find(name)
    if found is None:
        raise LabError(f"{name} is not installed")
    return found


def typed_address(host: Node, service: ServiceType) -> str:
    """What ``moorage address`` prints on a host.

    Raises:
        LabError: the command failed.
    """
    command = [sys.executable, "-m", "moorage", "address", service.slug]
    return host.run(command).stdout.strip()


@contextmanager
def server(node: Node, argv: Sequence[str], ready: str) -> Iterator[None]:
    """Run a server in a node, from when it says ``ready`` on its standard error.

    Raises:
        LabError: it ended without saying so; with what it said.
    """
    with node.popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said: list[str] = []
        try:
            for line in process.stderr:
                said.append(line.decode(errors="replace"))
                if ready in said[-1]:
                    break
            else:
                raise LabError(f"{node.name}: {argv[0]} ended:\n{''.join(said).rstrip()}")
            yield
        finally:
            process.terminate()
