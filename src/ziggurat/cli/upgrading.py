"""The command that changes what is there: `upgrade`."""

from __future__ import annotations

import click

from ziggurat.cli.talk import Command, Talk, common, data, data_json


@click.command(
    cls=Command,
    short_help="Bring the metadata to a newer version of its format.",
    examples=(
        ("ziggurat upgrade a.zarr --to ome-zarr@0.5 --dry-run", "the difference, and nothing written"),
        ("ziggurat upgrade a.zarr --to ome-zarr@0.5", "in place"),
        ("ziggurat upgrade a.zarr --to ome-zarr@0.5 --dest b.zarr --transpose cyx", ""),
    ),
)
@click.argument("source")
@click.option("--to", required=True, metavar="ID", help="The version wanted, such as ome-zarr@0.5.")
@click.option("--dest", metavar="PLACE", help="Write a new store and leave SOURCE as it is.")
@click.option("--transpose", metavar="AXES", help="Order of the axes in the new store, such as cyx; rewrites the samples.")
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing; exit 1 when there is one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common
@click.pass_obj
def upgrade(talk: Talk, source: str, to: str, dest: str | None, transpose: str | None, dry_run: bool, as_json: bool) -> int:
    """Bring the documents of SOURCE to a newer version of their format. Samples stay as they are.

    In place, the group's own document is written last: killed at any point, SOURCE opens as the old or the new version.
    Nothing is invented: what the new version forces is taken from shapes, marked and said.
    """
    from ziggurat import transfer

    if dest is None and not dry_run and transfer.upgrade(source, to=to, transpose=transpose, dry_run=True).changes:
        talk.say(f"in place: the documents of {source} change, its samples do not")
    result = transfer.upgrade(source, to=to, dest=dest, transpose=transpose, dry_run=dry_run)
    if as_json:
        data_json(result.to_json())
    elif not talk.quiet or dry_run:
        data(str(result))
    return 1 if dry_run and result.changes else 0
