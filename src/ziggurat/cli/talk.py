"""How the commands speak: data to standard output, everything else to standard error, sections and examples in `--help`."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ziggurat.problems import shown

F = TypeVar("F", bound=Callable[..., object])


@dataclass(slots=True)
class Talk:
    """What the user asked of the talk; one per run, filled while the command line is read."""

    quiet: bool = False
    debug: bool = False
    resumes: bool = False
    """Whether what is being done goes on where it stopped when the same command is given again."""

    def say(self, text: str, *, style: str | None = None) -> None:
        """Writes one line to standard error, unless the user wants quiet."""
        if not self.quiet:
            self.insist(text, style=style)

    def insist(self, text: str, *, style: str | None = None) -> None:
        """Writes one line to standard error in any case."""
        line = shown(text)
        click.echo(click.style(line, fg=style) if style else line, err=True)


def data(text: str, *, label: str = "", style: str | None = None) -> None:
    """Writes lines of data to standard output, every name in them escaped; `label` comes first, in a colour."""
    lines = "\n".join(map(shown, text.split("\n")))
    click.echo(f"{click.style(f'{label:<6}', fg=style)}  {lines}" if label else lines)


def data_json(value: object) -> None:
    """Writes one strict JSON document to standard output; ASCII, so that no name can carry a control code."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def columns() -> int:
    """Returns the width of the terminal, 100 columns where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def is_terminal() -> bool:
    """Tells whether standard error is looked at by a person."""
    return sys.stderr.isatty()


class Formatter(click.HelpFormatter):
    """Help with headings that stand out where colour is possible."""

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{click.style(heading, bold=True)}\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        self.write_heading("Usage")
        self.write(f"  {prog} {args}\n")


class Context(click.Context):
    formatter_class = Formatter


class Option(click.Option):
    """An option that is listed under a heading of its own in `--help`."""

    def __init__(self, *declarations: Any, section: str = "Options", **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.section = section


class Command(click.Command):
    """A command whose help has sections of options, and examples at the end."""

    context_class = Context

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                heading = parameter.section if isinstance(parameter, Option) else "Options"
                sections.setdefault(heading, []).append(record)
        _write_sections(formatter, sorted(sections.items(), key=lambda item: item[0] == "Options"))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            _write_sections(formatter, [("Examples", self.examples)], col_max=44)


def _write_sections(formatter: click.HelpFormatter, sections: Sequence[tuple[str, Sequence[tuple[str, str]]]], *, col_max: int = 26) -> None:
    """Writes sections of (what, explanation) whose second columns line up."""
    width = max((len(what) for _, records in sections for what, _ in records if len(what) <= col_max), default=0)
    for heading, records in sections:
        with formatter.section(heading):
            formatter.write_dl([(what.ljust(width), text) for what, text in records], col_max=col_max)


class Commands(click.Group):
    """The group of all commands, listed under what they are for."""

    context_class = Context
    command_class = Command

    def __init__(self, *args: Any, sections: Sequence[tuple[str, Sequence[str]]] = (), examples: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.sections = tuple(sections)
        self.examples = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_sections(formatter, [(heading, [(name, self.commands[name].short_help or "") for name in names]) for heading, names in self.sections])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Does nothing: `format_options` lists the commands first, in their sections."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_sections(formatter, [("Examples", self.examples)], col_max=44)


def gathered(function: Callable[[Mapping[str, Any]], int | None]) -> Callable[..., int | None]:
    """Returns the callback of a command with many options: it hands over all values in one mapping, by name."""

    def _gather(**said: Any) -> int | None:
        return function(said)

    return functools.update_wrapper(_gather, function)


def optioned(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Returns the decorator that adds options to a command, in their order."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def common(command: F) -> F:
    """Adds `--quiet`, `--debug` and `--help`, which every command has, to a command; they fill the run's `Talk`."""

    def remember(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
        def set_flag(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
            if value:
                setattr(ctx.ensure_object(Talk), name, True)

        return set_flag

    for name, text in (("debug", "Show the traceback of an error."), ("quiet", "Say nothing but errors.")):
        flags = (f"--{name}", "-q") if name == "quiet" else (f"--{name}",)
        command = click.option(*flags, is_flag=True, expose_value=False, callback=remember(name), help=text)(command)
    return command
