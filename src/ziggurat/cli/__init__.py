"""The command `ziggurat`: thin over the library. Data to standard output, talk to standard error.

Exit codes: 0 done, or no MUST broken; 1 `check` found a broken MUST (with `--strict` also a SHOULD), or `--dry-run` found
something to do; 2 it could not be done. An error is one sentence; `--debug` adds the traceback.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

import click

from ziggurat.cli import words
from ziggurat.cli.building import build, plan
from ziggurat.cli.converting import annotate, convert, fix
from ziggurat.cli.reading import check, info
from ziggurat.cli.rebuilding import rebuild
from ziggurat.cli.serving import serve, view
from ziggurat.cli.showing import export, show
from ziggurat.cli.talk import Commands, Talk
from ziggurat.cli.upgrading import upgrade
from ziggurat.problems import ZigguratError
from ziggurat.version import __version__

_FEW_COLLECTIONS = 50_000
"""Objects between searches for cycles. Starting makes about this many, which all stay; a build left 200 in cycles, as many for 8 times the base."""


@click.group(
    cls=Commands,
    sections=(
        ("Make", ("plan", "build", "rebuild")),
        ("Look", ("info", "check", "view", "show", "export", "serve")),
        ("Change", ("upgrade", "convert", "annotate", "fix")),
    ),
    examples=(
        ("ziggurat build scan.tif", "scan.ome.zarr beside it"),
        ("ziggurat plan scan.tif -f z=1,y=2,x=2", "what that would do"),
        ("ziggurat info scan.ome.zarr", "levels, scale, translation"),
        ("ziggurat check scan.ome.zarr --strict", "every rule, advice too"),
        ("ziggurat view scan.ome.zarr", "in the browser"),
        ("ziggurat upgrade a.zarr --to ome-zarr@0.5", "in place"),
        ("ziggurat convert a.zarr b.zarr --layout ID", "into another layout"),
    ),
    options_metavar="",
    subcommand_metavar="COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(__version__, "-V", "--version", message="ziggurat %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> int | None:
    """Multiscale arrays (image pyramids): build, open, check, upgrade and convert them.

    'ziggurat COMMAND --help' tells what a command takes. Everything here is also one call in Python: import ziggurat as zg.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        return 2
    return None


for _command in (plan, build, rebuild, info, check, view, show, export, serve, upgrade, convert, annotate, fix):
    commands.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0, 1 or 2 as the package's docstring says."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nothing here multiplies matrices, and numpy's BLAS starts threads that spin
    gc.set_threshold(_FEW_COLLECTIONS)
    code = run(sys.argv[1:] if arguments is None else arguments)
    gc.freeze()  # or the interpreter looks for cycles among all modules before it ends
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit code; every error ends here, as one sentence on standard error."""
    talk = Talk(debug="--debug" in arguments)
    try:
        code = commands.main(list(arguments), prog_name="ziggurat", standalone_mode=False, obj=talk)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        usage = f"; see '{error.ctx.command_path} --help'" if isinstance(error, click.UsageError) and error.ctx is not None else ""
        talk.insist(f"ziggurat: {_sentence(error.format_message())}{usage}")
        return 2
    except (KeyboardInterrupt, click.Abort):
        rest = "; nothing was published, and the same command goes on where it stopped" if talk.resumes else ""
        talk.insist(f"ziggurat: interrupted{rest}")
        return 2
    except BrokenPipeError:
        # Whoever reads our output has enough (`ziggurat info a.zarr | head`): not an error, and Python must not flush into the void at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ZigguratError, OSError, MemoryError) as error:
        _trace(talk)
        talk.insist(f"ziggurat: {words.as_options(_reason(error))}")
        return 2
    except Exception as error:  # noqa: BLE001 - the one place where a defect of ours becomes a sentence
        _trace(talk)
        hint = "" if talk.debug else "; --debug shows where"
        talk.insist(f"ziggurat: a defect of ziggurat itself: {type(error).__name__}: {_sentence(str(error))}{hint}")
        return 2


def _trace(talk: Talk) -> None:
    if talk.debug:
        import traceback

        traceback.print_exc()


def _reason(error: BaseException) -> str:
    if isinstance(error, ZigguratError):
        return _sentence(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return _sentence(str(error)) if str(error) else "the memory is used up; give a smaller --memory" if isinstance(error, MemoryError) else type(error).__name__


def _sentence(text: str) -> str:
    """Returns a message in one line, without the full stop that click adds."""
    return " ".join(text.split()).removesuffix(".")
