"""Looking into daemons of a lab, as their users do: by the command line and by curl."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from moorage.lab.lab import Node


def moorage(node: Node, *argv: str, status: int = 0) -> str:
    """What ``moorage`` prints in a node, where it ends with this status."""
    done = node.run([sys.executable, "-m", "moorage", *argv], check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr or done.stdout


def moorage_json(node: Node, *argv: str) -> Any:
    """What ``moorage ... --json`` prints in a node."""
    return json.loads(moorage(node, *argv, "--json"))


def follow(node: Node, *argv: str) -> subprocess.Popen[bytes]:
    """``moorage ...`` in a node, which goes on until it is told to end."""
    command = [sys.executable, "-m", "moorage", *argv]
    return node.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def curl(node: Node, daemon: str, resource: str) -> str:
    """A resource of the ``host`` or ``router`` daemon of a node."""
    socket = f"/run/moorage/{daemon}-management.sock"
    url = f"http://moorage{resource}"
    return node.run(["curl", "--silent", "--fail", "--unix-socket", socket, url]).stdout


def metrics(node: Node, daemon: str) -> dict[str, float]:
    """The metrics of a daemon: values by name and labels, as they are written."""
    lines = curl(node, daemon, "/metrics").splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
