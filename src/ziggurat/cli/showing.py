"""The commands that draw: `show` in the terminal, `export` into a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ziggurat.cli import words
from ziggurat.cli.talk import Command, Talk, common, data, gathered, optioned
from ziggurat.problems import OptionError

if TYPE_CHECKING:
    from ziggurat.pyramid import Pyramid

_NO_TERMINAL = (100, 30)


def _intervals(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """Returns world intervals by axis name from `x=10:20,y=0:5`. Raises click.BadParameter."""
    if text is None:
        return None
    found: dict[str, tuple[float, float]] = {}
    for part in text.split(","):
        name, is_named, ends = part.partition("=")
        low, is_pair, high = ends.partition(":")
        try:
            found[name.strip()] = (float(low or "-inf"), float(high or "inf"))
        except ValueError:
            is_pair = ""
        if not is_named or not is_pair or not name.strip():
            raise click.BadParameter(f"{part!r}: expected an axis and where it begins and ends, such as x=10:20.5")
    return found


def _picks(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """Returns samples by axis name from `t=0,z=12`. Raises click.BadParameter."""
    if text is None:
        return None
    found = words.values(text, int, "t=0,z=12")
    if not isinstance(found, Mapping):
        raise click.BadParameter(f"{text!r}: expected an axis and a sample, such as t=0,z=12")
    return found


def _pair(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """Returns the two numbers of `0,4095`. Raises click.BadParameter."""
    found = None if text is None else words.values(text, float, "0,4095")
    if found is not None and not (isinstance(found, tuple) and len(found) == 2):
        raise click.BadParameter(f"{text!r}: expected the values of black and of white, such as 0,4095")
    return found


def _names(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    return None if text is None else tuple(part.strip() for part in text.split(","))


_OPTIONS = (
    click.option("--level", type=int, help="Number of the level; chosen by size when not said."),
    click.option("--region", callback=_intervals, metavar="BOX", help="Part of the world, in its units: x=10:20,y=0:5."),
    click.option("--at", callback=_picks, metavar="SAMPLES", help="Samples of level 0 along further axes: t=0,z=12. The middle in space, else the first."),
    click.option("--plane", callback=_names, metavar="AXES", help="Rows and columns, such as z,x."),
    click.option("--limits", callback=_pair, metavar="LOW,HIGH", help="Values of black and white; percentiles of the coarsest level when not said."),
    click.option("--colormap", type=click.Choice(("gray", "viridis", "magma", "blue-red")), default="gray", help="Colours of a single channel."),
    click.option("--multiscale", metavar="NAME", help="Which one, where there are several: number, name or type."),
    click.option("--layout", metavar="ID", help="Read it as this layout, such as ome-zarr@0.4."),
    click.option("--allow-links", is_flag=True, help="Follow link files and symbolic links that leave the folder; never to a URL."),
)


def _opened(said: Mapping[str, Any]) -> Pyramid:
    from ziggurat.pyramid import open as open_pyramid

    name = said["multiscale"]
    chosen = int(name) if name is not None and name.isdigit() else name
    return open_pyramid(said["source"], multiscale=chosen, layout=said["layout"], allow_links=said["allow_links"])


def draw(pyramid: Pyramid, said: Mapping[str, Any], *, most: tuple[int, int] | None = None) -> str:
    """Returns a picture as lines for a terminal of a size (columns, lines), of this one when not said."""
    from ziggurat.display.blocks import half_blocks
    from ziggurat.pyramid.pictures import View, drawn

    columns, lines = most or shutil.get_terminal_size(_NO_TERMINAL)
    view = View(said.get("region"), said.get("at"), said.get("plane"), said.get("limits"), said.get("colormap") or "gray")
    level = said.get("level")
    chosen = None if level is None else next((candidate for candidate in pyramid.levels if candidate.index == level), None)
    if level is not None and chosen is None:
        raise OptionError(f"level={level}: not there; the levels are {', '.join(str(candidate.index) for candidate in pyramid.levels)}")
    picture = drawn(pyramid, (2 * max(2, lines - 3), max(2, columns)), view, level=chosen)
    rows, across = picture.axes
    place = f"rows {rows}, columns {across}" if rows else f"columns {across}"
    step = f"{picture.step[1]:.6g} {picture.unit[1] or ''}".rstrip()
    caption = f"level {picture.levels[0]}, {place}, {step} per pixel"
    return f"{half_blocks(picture.pixels)}\n{caption}"


@click.command(
    cls=Command,
    short_help="Draw a level in the terminal.",
    options_metavar="[OPTIONS]",
    examples=(
        ("ziggurat show scan.ome.zarr", ""),
        ("ziggurat show scan.ome.zarr --at z=40,t=3", ""),
        ("ziggurat show scan.ome.zarr --plane z,x --level 2", "from the side"),
        ("ziggurat show era5.levels --region lat=35:60,lon=0:30", "Europe"),
    ),
)
@click.argument("source", metavar="PLACE")
@optioned(_OPTIONS)
@common
@gathered
def show(said: Mapping[str, Any]) -> None:
    """Draw the multiscale at PLACE as large as the terminal, from the level that is just fine enough.

    Two pixels in a character, in 24-bit colour. Into a file or a pipe the colours go as well; NO_COLOR leaves the table of 'info' alone.
    """
    import os

    pyramid = _opened(said)
    if os.environ.get("NO_COLOR"):
        from ziggurat.pyramid.tables import describe

        data(describe(pyramid))
        return
    sys.stdout.write(draw(pyramid, said) + "\n")


@click.command(
    cls=Command,
    short_help="Write a region of a level as PNG or TIFF, or a sheet of all levels.",
    options_metavar="[OPTIONS]",
    examples=(
        ("ziggurat export scan.ome.zarr overview.png", "the largest level of up to 4096 pixels"),
        ("ziggurat export scan.ome.zarr part.tif --level 0 --region x=100:200,y=50:150", "samples as they are"),
        ("ziggurat export scan.ome.zarr levels.png --sheet", "every level, one beside the other"),
    ),
)
@click.argument("source", metavar="PLACE")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@optioned(_OPTIONS)
@click.option("--sheet", is_flag=True, help="Every level at one size, in rows from the base on.")
@click.option("--overwrite", is_flag=True, help="Replace FILE, if it is there.")
@common
@gathered
def export(said: Mapping[str, Any]) -> None:
    """Write a region of PLACE at a level into FILE: a picture (.png), or its samples with axes and physical size (.tif)."""
    from ziggurat.pyramid.exporting import export as write

    pyramid = _opened(said)
    options = {name: said[name] for name in ("level", "region", "at", "plane", "limits", "colormap", "sheet", "overwrite")}
    path = write(pyramid, said["target"], **options)
    click.get_current_context().ensure_object(Talk).say(f"{path}: {path.stat().st_size} bytes")
    data(str(path))
