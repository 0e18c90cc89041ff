"""The commands that look: `info` and `check`. On local data they import neither numpy nor zarr."""

from __future__ import annotations

import sys

import click

from ziggurat.cli.talk import Command, columns, common, data, data_json
from ziggurat.cli.words import as_options

_LINKS = click.option("--allow-links", is_flag=True, help="Follow link files and symbolic links that leave the folder; never to a URL.")
_THUMBNAIL = (48, 19)
"""Columns and lines."""
_COLOURS = (("broken", "red"), ("advice", "yellow"), ("note", "cyan"))


@click.command(
    cls=Command,
    short_help="Show the multiscales at a place: levels, axes, scale, translation.",
    examples=(
        ("ziggurat info scan.ome.zarr", ""),
        ("ziggurat info scan.ome.zarr/2", "a level finds its multiscale"),
        ("ziggurat info s3://bucket/scan.zarr --json", "every number in full"),
    ),
)
@click.argument("source", metavar="PLACE")
@click.option("--layout", metavar="ID", help="Read it as this layout, such as ome-zarr@0.4, whatever else it may be.")
@_LINKS
@click.option("--thumbnail", is_flag=True, help="Draw the first multiscale below the table.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with every number in full.")
@common
def info(source: str, layout: str | None, allow_links: bool, thumbnail: bool, as_json: bool) -> None:
    """Show the multiscales at PLACE: a folder, a URL, or one of the levels.

    Only metadata is read. A number marked ~ is not stated by the document but inferred from shapes.
    """
    from ziggurat.pyramid import survey

    found = survey(source, layout=layout, allow_links=allow_links)
    if as_json:
        data_json(found.to_json())
        return
    data(found.describe(width=columns()))
    if thumbnail:
        from ziggurat.cli.showing import draw
        from ziggurat.pyramid import open as open_pyramid

        sys.stdout.write("\n" + draw(open_pyramid(source, layout=layout, allow_links=allow_links), {}, most=_THUMBNAIL) + "\n")


@click.command(
    cls=Command,
    short_help="Apply every rule of the format that a place claims.",
    examples=(
        ("ziggurat check scan.ome.zarr", ""),
        ("ziggurat check scan.ome.zarr --strict", "advice counts as well"),
        ("ziggurat check scan.ome.zarr --deep", "are the samples what they should be, and where?"),
    ),
)
@click.argument("source", metavar="PLACE")
@click.option("--deep", is_flag=True, help="Also compare sampled blocks of every level with what the metadata says made them.")
@click.option("--weights", metavar="PATH", help="With --deep: the array that the levels were weighed by, where the metadata describes one.")
@click.option("--mask", metavar="PATH", help="With --deep: the array that said which samples are missing, likewise.")
@click.option("--strict", is_flag=True, help="A SHOULD that is not met counts as well.")
@click.option("--layout", metavar="ID", help="Apply the rules of this layout, such as ome-zarr@0.4.")
@_LINKS
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common
@click.pass_context
def check(
    ctx: click.Context, source: str, deep: bool, weights: str | None, mask: str | None, strict: bool, layout: str | None, allow_links: bool, as_json: bool
) -> int:
    """Apply every rule of the format that PLACE claims to its documents.

    One line each: 'broken' for a MUST, 'advice' for a SHOULD, 'note' for what is worth knowing. Exit 1 when a MUST is broken.
    """
    from ziggurat.pyramid import check as judge

    report = judge(source, deep=deep, strict=strict, layout=layout, allow_links=allow_links, weights=weights, mask=mask)
    passed = report.ok
    if as_json:
        problems = [{name: getattr(p, name) for name in ("rule", "requirement", "loc", "message", "hint", "source")} for p in report]
        data_json({"location": report.location, "layouts": list(report.layouts), "ok": passed, "problems": problems})
        return 0 if passed else 1
    for problem in report:
        colour = next(colour for verdict, colour in _COLOURS if verdict == problem.verdict)
        data(as_options(problem.sentence), label=problem.verdict, style=colour)
    data(report.summary, label="passed" if passed else "failed", style="green" if passed else "red")
    return 0 if passed else 1
