"""Very many objects at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_objects() -> Iterator[None]:
    """Make very many objects that stay, without a search for reference cycles among them.

    Every full search looks at all objects that there are: with a hundred thousand bindings each
    takes half a second, in which nothing else is done. What exists at the end of the block is left
    out of all later ones; what is no longer used is freed all the same, unless it is in a cycle.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
