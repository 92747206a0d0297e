"""What is said of an index in the log: each change of its state, once."""

from __future__ import annotations

import logging

from codomain.log import event

log = logging.getLogger("codomain.index")


class IndexLog:
    """The log of one directory's index."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._told = ""
        self._down = False

    def lost(self, reason: str) -> None:
        """Say that the index answers nothing."""
        if self._new(f"lost {reason}"):
            event(
                log,
                logging.ERROR,
                "index not usable, every address is searched for",
                directory=self._directory,
                detail=reason,
            )

    def state(self, doubt: str, age: float, entries: int, *, in_step: bool) -> None:
        """Say how an index that answers stands, its age in seconds."""
        first = not self._told
        if not self._new(doubt or ("in step" if in_step else "behind")):
            return
        shown = {"directory": self._directory, "entries": entries, "age": round(age)}
        if doubt:
            text = "index in doubt, who is not in it is deferred"
            event(log, logging.ERROR, text, detail=doubt, **shown)
        elif in_step:
            event(log, logging.INFO if first else logging.WARNING, "index in step", **shown)
        else:
            event(log, logging.WARNING, "index behind", **shown)

    def down(self, detail: str) -> None:
        """Say that the directory does not answer, and the index does; empty: it answers again."""
        if bool(detail) == self._down:
            return
        self._down = bool(detail)
        text = "directory down, the index answers" if detail else "directory up"
        level = logging.ERROR if detail else logging.WARNING
        event(log, level, text, directory=self._directory, detail=detail)

    def _new(self, state: str) -> bool:
        if state == self._told:
            return False
        self._told = state
        return True
