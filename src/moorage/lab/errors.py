"""What goes wrong with a lab, said in one line for the user."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked; the text says why, and what would help if we know."""
