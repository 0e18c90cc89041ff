"""How far a build is: a bar on a terminal, a line per 10 % in a log, nothing with `--quiet`."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ziggurat.cli.talk import Talk, is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


_PATIENCE_SECONDS = 2.0
"""A log says nothing of a build that is over sooner."""


class Event(Protocol):
    """What a build tells after every task."""

    @property
    def n_done(self) -> int: ...
    @property
    def n_total(self) -> int: ...
    @property
    def n_resumed(self) -> int: ...
    @property
    def fraction(self) -> float: ...


class Progress:
    """Shows the events of one build; what a build takes as `progress`. A context, so that a bar is closed whatever happens."""

    def __init__(self, talk: Talk, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._talk = talk
        self._clock = clock
        self._started = clock()
        self._show: Callable[[Event], None] = self._log
        self._said = 0
        self._resumed = False
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        if self._talk.quiet:
            self._show = _nothing
        elif is_terminal():
            self._open_bar()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if event.n_resumed and not self._resumed:
            self._resumed = True
            self._say(f"resuming at {100 * event.n_resumed / event.n_total:.0f} %")
        self._show(event)

    def _say(self, text: str) -> None:
        if self._bar is None:
            self._talk.say(text)
        elif not self._talk.quiet:
            self._bar.console.print(text, markup=False, highlight=False)

    def _log(self, event: Event) -> None:
        tenth = int(event.fraction * 10)
        if tenth > self._said and self._clock() - self._started >= _PATIENCE_SECONDS:
            self._said = tenth
            self._talk.say(f"{tenth * 10:3d} %  {event.n_done:,} of {event.n_total:,} tasks")

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        # Transient: the five lines at the end say all that is worth keeping.
        columns = (TextColumn("building"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        task = self._bar.add_task("building", total=None)
        self._bar.start()
        bar = self._bar

        def show(event: Event) -> None:
            bar.update(task, completed=event.n_done, total=event.n_total)

        self._show = show


def _nothing(event: Event) -> None:
    """Shows nothing."""
