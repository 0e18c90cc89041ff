"""The commands that carry metadata across layouts: `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

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
@click.option("--multiscale", metavar="NAME", help="Which one, where SRC holds several: its number, name or type; all of them otherwise.")
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

    Samples are copied as encoded chunks wherever DST can read them as they are. What the layout has no place for is listed as lost.
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
