"""The commands that serve: `view` opens a page, `serve` prints what other programs can open."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from ziggurat.cli.talk import Command, Talk, common, data, data_json, gathered, optioned

_OPTIONS = (
    click.option("--host", default="127.0.0.1", metavar="NAME", help="Where to listen; only this machine can see 127.0.0.1."),
    click.option("--port", type=click.IntRange(0, 65535), default=0, help="A free one when not said."),
    click.option("--cors", multiple=True, metavar="ORIGIN", help="A page elsewhere that may read, such as https://vizarr.example; may be repeated."),
    click.option("--layout", metavar="ID", help="Read the places as this layout, such as ome-zarr@0.4."),
    click.option("--allow-links", is_flag=True, help="Follow link files and symbolic links that leave the folder; never to a URL."),
)


@click.command(
    cls=Command,
    short_help="Show pyramids in the browser: any layout, any dtype.",
    options_metavar="[OPTIONS]",
    examples=(
        ("ziggurat view scan.ome.zarr", ""),
        ("ziggurat view cube.levels labels.n5 cog.tif", "several, in one page"),
        ("ziggurat view s3://bucket/em.zarr --3d", "volumes in neuroglancer"),
    ),
)
@click.argument("sources", metavar="PLACE...", nargs=-1, required=True)
@click.option("--3d", "in_3d", is_flag=True, help="Open neuroglancer on the first one (extra '3d').")
@click.option("--no-open", is_flag=True, help="Only print the address.")
@optioned(_OPTIONS)
@common
@gathered
def view(said: Mapping[str, Any]) -> None:
    """Show PLACE... in the browser, until Ctrl-C: levels, planes, channels, contrast, labels, values under the cursor.

    Nothing leaves this machine, and only who knows the printed address can read.
    """
    import webbrowser

    from ziggurat.bridges.server import serve as start

    with start(*said["sources"], **_listening(said)) as server:
        url = server.urls()["3d"] if said["in_3d"] else server.url
        data(url)
        if not said["no_open"]:
            webbrowser.open(url)
        _say(f"{len(server.shown)} to show; stop with Ctrl-C")
        _forever(server)


@click.command(
    cls=Command,
    short_help="Serve pyramids of any layout as OME-Zarr to other programs.",
    options_metavar="[OPTIONS]",
    examples=(
        ("ziggurat serve em.n5", "addresses for zarr-python, napari, neuroglancer"),
        ("ziggurat serve em.n5 --cors https://vizarr.example", "for a page elsewhere"),
    ),
)
@click.argument("sources", metavar="PLACE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="The addresses as one JSON document, in one go.")
@optioned(_OPTIONS)
@common
@gathered
def serve(said: Mapping[str, Any]) -> None:
    """Serve PLACE... until Ctrl-C, read-only: as virtual OME-Zarr 0.5 (zarr3) and 0.4 (zarr2), as PNG tiles, and as a page.

    The trees that end in -safe convert dtypes that common clients refuse: float64, float16 and complex to float32, bool to 0 and 255.
    """
    from ziggurat.bridges.server import serve as start

    with start(*said["sources"], **_listening(said)) as server:
        if said["as_json"]:
            data_json({"page": server.url, "sources": [{"name": each.name, "group": each.group, **server.urls(each.number)} for each in server.shown]})
        else:
            data(f"page        {server.url}")
            for each in server.shown:
                data(f"\n{each.name}  ({each.group})")
                for name, url in server.urls(each.number).items():
                    data(f"{name:<11} {url}")
        _say("stop with Ctrl-C")
        _forever(server)


def _listening(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("host", "port", "cors", "layout", "allow_links")}


def _say(text: str) -> None:
    click.get_current_context().ensure_object(Talk).say(text)
    sys.stdout.flush()  # who reads the address from a pipe is waiting for it


def _forever(server: Any) -> None:
    """Waits for Ctrl-C."""
    try:
        server.wait()
    except KeyboardInterrupt:
        return
