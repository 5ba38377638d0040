"""Doing what the system may refuse without the daemon's end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec

_P = ParamSpec("_P")
_log = logging.getLogger("moorage.host")


def attempt(operation: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Do something; an OSError becomes a line in the log."""
    try:
        operation(*args, **kwargs)
    except OSError as error:
        _log.error("%s", error)
