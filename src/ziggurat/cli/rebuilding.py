"""The command `rebuild`: levels once more, from what their metadata says."""

from __future__ import annotations

import click

from ziggurat.cli.talk import Command, Talk, common, data, data_json


@click.command(
    cls=Command,
    short_help="Make levels of ours once more, from what their metadata says.",
    examples=(
        ("ziggurat rebuild scan.ome.zarr", "levels are replaced where they are"),
        ("ziggurat rebuild scan.ome.zarr again.zarr", "into a new store, with a copy of the base"),
    ),
)
@click.argument("source", metavar="STORE")
@click.argument("target", metavar="[TARGET]", required=False)
@click.option("--multiscale", metavar="NAME", help="Its name, where the group holds several; the first when not said.")
@click.option("--overwrite", is_flag=True, help="Replace what lies at TARGET.")
@click.option("--memory", metavar="SIZE", help="Most memory to use, such as 500MB.")
@click.option("--threads", type=int, metavar="N", help="Number of threads.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common
def rebuild(source: str, target: str | None, multiscale: str | None, overwrite: bool, memory: str | None, threads: int | None, as_json: bool) -> None:
    """Make the levels of the multiscale at STORE once more, as its metadata says they were made.

    The same version makes the same bytes. The base is only read; the old levels stay until the new ones are published.
    """
    from ziggurat import builder
    from ziggurat.cli.progress import Progress

    talk = click.get_current_context().ensure_object(Talk)
    talk.resumes = True
    with Progress(talk) as progress:
        result = builder.rebuild(source, target, multiscale=multiscale, overwrite=overwrite, memory=memory, threads=threads, progress=progress)
    if as_json:
        data_json(result.to_json())
    elif not talk.quiet:
        data(str(result))
