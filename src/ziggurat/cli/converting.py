"""The commands that carry metadata across layouts: `convert`, `annotate` and `fix`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ziggurat.cli import words
from ziggurat.cli.talk import Command, Talk, common, data, data_json

if TYPE_CHECKING:
    from ziggurat.transfer import ConversionResult


@click.command(
    cls=Command,
    short_help="Write a multiscale in another layout, new or over the same arrays.",
    examples=(
        ("ziggurat convert cube.levels cube.zarr --layout ome-zarr@0.4", "a new store"),
        ("ziggurat convert a.zarr --layout multiscales@0.1", "documents alone, in place"),
        ("ziggurat convert a.zarr b.zarr --layout ome-zarr@0.5 --transpose cyx --dry-run", ""),
    ),
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="[DST]", required=False)
@click.option("--layout", required=True, metavar="ID", help="The layout wanted, such as ome-zarr@0.5.")
@click.option(
    "--multiscale",
    metavar="NAME",
    help="Which one, where SRC holds several: its number, name or type, or a member's name such as labels/nuclei; all of them otherwise.",
)
@click.option("--transpose", metavar="AXES", help="Order of the axes in DST, such as cyx; rewrites the samples.")
@click.option("--container", type=click.Choice(("zarr2", "zarr3", "n5")), help="Where the layout may live in several; that of SRC when it may.")
@click.option("--link", is_flag=True, help="Leave level 0 where it is and name it in a file, where the layout knows links.")
@click.option("--strict", is_flag=True, help="Refuse, with exit 1, when the layout cannot hold all that SRC says.")
@click.option("--dry-run", is_flag=True, help="Show documents and losses and write nothing; exit 1 when there is something to do.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="That move samples.")
@click.option("--allow-links", is_flag=True, help="Follow link files and symbolic links that leave the folder; never to a URL.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common
@click.pass_obj
def convert(
    talk: Talk,
    source: str,
    target: str | None,
    layout: str,
    multiscale: str | None,
    transpose: str | None,
    container: str | None,
    link: bool,
    strict: bool,
    dry_run: bool,
    threads: int | None,
    allow_links: bool,
    as_json: bool,
) -> int:
    """Write the multiscale at SRC in another layout: as a new store DST, or, without DST, as documents over the same arrays.

    Labels go with their image and collections (plates, images side by side) convert whole where the layout knows them. Samples are copied as
    encoded chunks wherever DST can read them as they are. What the layout has no place for is listed as lost.
    DST appears whole or not at all; the same command goes on with what an interrupted one left.
    """
    from ziggurat.conversion.stored import CONTAINERS
    from ziggurat.pyramid.changing import convert as carry

    which: int | str | None = int(multiscale) if multiscale is not None and multiscale.isdigit() else multiscale
    chosen = next((known for known in CONTAINERS if known == container), None)
    talk.resumes = target is not None

    def run(*, dry: bool) -> ConversionResult:
        return carry(
            source, target, layout=layout, multiscale=which, transpose=transpose, container=chosen, link=link, dry_run=dry, threads=threads,
            allow_links=allow_links,
        )  # fmt: skip

    result = run(dry=dry_run or strict)
    refused = strict and bool(result.lost)
    if strict and not dry_run and not refused:
        result = run(dry=False)
    if as_json:
        data_json(result.to_json())
    elif not talk.quiet or dry_run or refused:
        data(str(result))
    if refused:
        talk.insist(f"ziggurat: {layout} cannot hold all of {source}, and nothing was written; leave --strict out to convert it nevertheless")
    return 1 if refused or (dry_run and bool(result.changes or result.arrays)) else 0


@click.command(
    cls=Command,
    short_help="Describe arrays that anyone made, in one or more layouts.",
    examples=(
        ("ziggurat annotate a.zarr --layout ome-zarr@0.5 --method mean", ""),
        ("ziggurat annotate a.zarr --layout ome-zarr@0.5 --layout geozarr", "side by side"),
        ("ziggurat annotate a.zarr --layout multiscales --level raw --level half", "these arrays, in this group"),
    ),
)
@click.argument("source", metavar="STORE")
@click.option("--layout", "layouts", required=True, multiple=True, metavar="ID", help="A layout to describe them in; repeat it for several.")
@click.option("--level", "levels", multiple=True, metavar="PATH", help="An array that is a level; repeat it. All in the group otherwise.")
@click.option("--method", metavar="WORD", help="Who made the levels; a reduction, such as mean, tells where samples lie.")
@click.option("--axes", metavar="NAMES", help="Names of the axes, such as tczyx or time,lat,lon.")
@click.option("--scale", metavar="NUMBERS", callback=words.per_axis(float, "z=.5,y=.1,x=.1"), help="Sample size of the base.")
@click.option("--translation", metavar="NUMBERS", callback=words.per_axis(float, "z=0,y=12.5,x=0"), help="Centre of the base's first sample.")
@click.option("--unit", metavar="WORD", callback=words.per_axis(str, "t=second,z=micrometer"), help="Of the space axes, or by axis, such as t=second,x=meter.")
@click.option("--name", metavar="TEXT", help="Of the multiscale.")
@click.option("--deep", is_flag=True, help="Look at samples to find out where those of each level lie.")
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing; exit 1 when there is one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common
@click.pass_obj
def annotate(
    talk: Talk,
    source: str,
    layouts: tuple[str, ...],
    levels: tuple[str, ...],
    method: str | None,
    axes: str | None,
    scale: Any,
    translation: Any,
    unit: Any,
    name: str | None,
    deep: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Describe the arrays in STORE as levels of a multiscale, in every layout that can stand beside the others on the same arrays.

    Only documents are written. A layout that cannot stand there is refused, with the reason, and makes the exit code 1.
    """
    from ziggurat.pyramid.annotating import annotate as describe

    paths = tuple(axis.strip() for axis in axes.split(",")) if axes is not None and "," in axes else axes
    result = describe(
        source, layout=layouts, levels=levels or None, method=method, axes=paths, scale=scale, translation=translation, unit=unit, name=name, deep=deep,
        dry_run=dry_run,
    )  # fmt: skip
    if as_json:
        data_json(result.to_json())
    elif not talk.quiet or dry_run:
        data(str(result))
    return 1 if result.refused or (dry_run and result.changes) else 0


@click.command(
    cls=Command,
    short_help="Mend metadata where the arrays tell how.",
    examples=(
        ("ziggurat fix a.zarr --dry-run", "what would be mended, and why"),
        ("ziggurat fix a.zarr --method mean --yes", "translations of block means, too"),
    ),
)
@click.argument("source", metavar="STORE")
@click.option("--method", metavar="WORD", help="The reduction that made the levels: where its samples lie is written.")
@click.option("--deep", is_flag=True, help="Find that out from the samples.")
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing; exit 1 when there is one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; does not ask.")
@common
@click.pass_obj
def fix(talk: Talk, source: str, method: str | None, deep: bool, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Mend the documents in STORE where the arrays tell how; samples are never touched.

    Order of levels, levels that are not there, version strings, names of axes, places of samples once their reduction is known, stale
    consolidated copies. Every repair is shown with its reason before anything is written. Exit 1 when a rule stays broken.
    """
    from ziggurat.pyramid.fixing import fix as mend

    result = mend(source, method=method, deep=deep, dry_run=True)
    asked = bool(result.changes) and not (dry_run or yes or as_json)
    if asked or (dry_run and not as_json):
        data(str(result))
    if asked:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here; say --yes to write this, or --dry-run to look at it")
        click.confirm("Write this?", abort=True, err=True)
    if result.changes and not dry_run:
        result = mend(source, method=method, deep=deep)
    if as_json:
        data_json(result.to_json())
    elif not dry_run and not talk.quiet:
        data(str(result))
    return 1 if result.left or (dry_run and result.changes) else 0
