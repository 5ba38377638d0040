"""Users and groups of this host, by name or number."""

from __future__ import annotations

import grp
import pwd
from typing import Self


class UserId(int):
    """A user; as text it is the name, where it has one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the user with this name or number.

        Raises:
            ValueError: there is none of that name.
        """
        try:
            return cls(text) if text.isdecimal() else cls(pwd.getpwnam(text).pw_uid)
        except KeyError:
            raise ValueError(f"this host has no user {text!r}") from None

    def __str__(self) -> str:
        try:
            return pwd.getpwuid(self).pw_name
        except (KeyError, OverflowError):
            return super().__repr__()


class GroupId(int):
    """A group; as text it is the name, where it has one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the group with this name or number.

        Raises:
            ValueError: there is none of that name.
        """
        try:
            return cls(text) if text.isdecimal() else cls(grp.getgrnam(text).gr_gid)
        except KeyError:
            raise ValueError(f"this host has no group {text!r}") from None

    def __str__(self) -> str:
        try:
            return grp.getgrgid(self).gr_name
        except (KeyError, OverflowError):
            return super().__repr__()
