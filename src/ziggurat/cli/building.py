"""The commands that make: `plan` and `build`. Their options are the fields of `BuildOptions`, said once for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from ziggurat.cli import words
from ziggurat.cli.talk import Command, Option, Talk, common, data, data_json, gathered

F = TypeVar("F", bound=Callable[..., object])


def _option(section: str, *declarations: str, help: str, **attributes: Any) -> Callable[[F], F]:
    """Returns the decorator of one option, listed under `section`."""
    return click.option(*declarations, cls=Option, section=section, help=help, **attributes)


_LEVELS = (
    _option(
        "Levels",
        "--reduction",
        "-r",
        multiple=True,
        callback=words.by_variable,
        metavar="NAME",
        help="mean, mode, stride, min, max, median, q0.9, sum, gaussian, ...; 'mode(ignore=0)'; y:mean,x:mean,z:max. Default: mean; mode for labels. "
        "Of a dataset also VARIABLE=NAME; repeat it for each.",
    ),
    _option("Levels", "--kind", type=click.Choice(["image", "labels", "mask"]), help="What the samples mean; decides the default reduction."),
    _option(
        "Levels",
        "--factors",
        "-f",
        multiple=True,
        callback=words.steps,
        metavar="F",
        help="From one level to the next: 2, 1,2,2 or z=1,y=2,x=2. Repeat it for a ladder.",
    ),
    _option("Levels", "--levels", "-n", type=int, metavar="N", help="Number of levels, the base included."),
    _option(
        "Levels",
        "--nodata",
        callback=words.number_or_text,
        metavar="VALUE",
        help="Samples of this value do not count: a number, nan, fill (the array's fill value), or the path of an array that is not 0 where one is missing.",
    ),
    _option(
        "Levels",
        "--level-shapes",
        multiple=True,
        callback=words.per_level(int, "333,500"),
        metavar="N",
        help="Shape of a level above the base, whatever factor that is: 333,500 or y=333,x=500. Repeat it for each.",
    ),
    _option(
        "Levels",
        "--level-scales",
        multiple=True,
        callback=words.per_level(float, "0.5"),
        metavar="S",
        help="Sample step of a level above the base: 0.5 or y=.5,x=.4. Repeat it for each.",
    ),
    _option(
        "Levels",
        "--groups",
        multiple=True,
        callback=words.groups,
        metavar="CUTS",
        help="Groups of samples along an axis, by the cuts between them: time=0,24,48. Repeat it for each level.",
    ),
    _option("Levels", "--missing", type=click.Choice(["skip", "propagate"]), help="What a window with missing samples becomes. Default: skip them."),
    _option("Levels", "--min-valid", type=float, metavar="SHARE", help="Share of a window that must be valid, above 0 and at most 1."),
    _option("Levels", "--weights", metavar="RULE", help="area, area_wgs84, cos_lat or equal, or the path of an array of weights."),
    _option("Levels", "--coverage", is_flag=True, help="Store the valid share of every level too."),
    _option(
        "Levels",
        "--variable",
        "--variables",
        "variables",
        multiple=True,
        callback=words.several,
        metavar="NAME",
        help="Of a dataset: this variable alone. Repeat it.",
    ),
    _option(
        "How it is stored",
        "--encoding",
        multiple=True,
        callback=words.encoding,
        metavar="VAR:WORD=VALUE",
        help="Of one variable of a dataset: t2m:chunks=time=1,lat=180,lon=360, t2m:codecs='zstd 5'. Repeat it.",
    ),
    _option("Levels", "--residual-base", is_flag=True, help="For laplacian: store the residual of the base too."),
    _option("Levels", "--force", is_flag=True, help="Average labels all the same."),
)
_PLACE = (
    _option("Place in the world", "--axes", "-a", metavar="NAMES", help="Axes in stored order: zyx, or lat,lon for longer names."),
    _option(
        "Place in the world",
        "--scale",
        "-s",
        callback=words.per_axis(float, "z=.5,y=.1,x=.1"),
        metavar="S",
        help="Size of a sample step: .1 (space axes), .5,.1,.1 or z=.5,y=.1,x=.1.",
    ),
    _option(
        "Place in the world",
        "--unit",
        "-u",
        callback=words.per_axis(str, "t=second,z=micrometer"),
        metavar="UNIT",
        help="micrometer (space axes), or t=second,z=micrometer.",
    ),
    _option(
        "Place in the world",
        "--translation",
        callback=words.per_axis(float, "z=0,y=12.5,x=0"),
        metavar="T",
        help="Coordinate of the centre of the first sample.",
    ),
)
_STORED = (
    _option(
        "How it is stored",
        "--layout",
        metavar="ID",
        help="ome-zarr@0.5, ome-zarr@0.4, multiscales@0.1, geozarr, ... Default: the first that can hold the axes; geozarr for a dataset.",
    ),
    _option("How it is stored", "--name", metavar="NAME", help="Name of the multiscale."),
    _option(
        "How it is stored", "--names", callback=words.names, metavar="NAMES", help="Paths of the levels: a template such as s{k}, or all of them with commas."
    ),
    _option("How it is stored", "--chunks", "-c", callback=words.per_axis(int, "64,64,64"), metavar="N", help="Chunk shape: 64, 64,64,64 or z=1,y=512,x=512."),
    _option("How it is stored", "--shards", callback=words.per_axis(int, "512,512,512"), metavar="N", help="Shard shape, whole chunks (Zarr v3)."),
    _option("How it is stored", "--codecs", metavar="CODEC", help="Such as 'zstd 3'. Default: the base's."),
    _option("How it is stored", "--dtype", metavar="TYPE", help="Type of the samples. Default: the base's."),
    _option("How it is stored", "--write-empty", is_flag=True, help="Store chunks of nothing but the fill value too."),
    _option("How it is stored", "--array-geometry", is_flag=True, help="Write scale, translation, unit and axes onto each array too."),
)
_WORK = (
    _option("How it is worked", "--memory", "-m", metavar="SIZE", help="Such as 2GiB. Default: a quarter of the machine's, 2 GiB at most."),
    _option("How it is worked", "--threads", "-j", type=int, metavar="N", help="Default: all cores."),
    _option("How it is worked", "--durability", type=click.Choice(["rename", "fsync", "none"]), help="fsync: every chunk is on the disk before the next."),
)


def _choices(command: F) -> F:
    """Adds an option for every field of `BuildOptions`."""
    for decorator in reversed((*_LEVELS, *_PLACE, *_STORED, *_WORK)):
        command = decorator(command)
    return command


_OURS = ("source", "target", "as_json", "add", "overwrite", "part", "finish", "workers", "processes", "scheduler")


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of `BuildOptions` that were said."""
    return {name: value for name, value in values.items() if name not in _OURS and value is not None and value is not False}


@click.command(
    cls=Command,
    short_help="Show what 'build' would do: levels, memory, time. Writes nothing.",
    examples=(
        ("ziggurat plan scan.tif", "what 'ziggurat build scan.tif' would do"),
        ("ziggurat plan cube.npy -s z=.5,y=.1,x=.1 -u micrometer", ""),
    ),
)
@click.argument("source")
@click.argument("target", required=False)
@_choices
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common
@gathered
def plan(said: Mapping[str, Any]) -> None:
    """Show what 'build' would do with the same words: levels, shapes, scale, translation, reads, writes, memory, time.

    Nothing is written, and of SOURCE only metadata is read.
    """
    from ziggurat import builder

    found = builder.plan(said["source"], said["target"], **_said(said))
    if said["as_json"]:
        data_json(found.to_json())
    else:
        data(words.as_options(str(found)))


@click.command(
    cls=Command,
    short_help="Make the levels of an image, an array, a volume.",
    examples=(
        ("ziggurat build scan.tif", "scan.ome.zarr beside it"),
        ("ziggurat build volume.zarr/0", "levels beside the array, in its group"),
        ("ziggurat build cells.npy --kind labels", "mode in place of mean"),
        ("ziggurat build slices/ out.zarr -s z=.5,y=.1,x=.1 -u micrometer", ""),
        ("ziggurat build era5.nc out.zarr --layout geozarr", "every variable of a NetCDF file"),
        ("ziggurat build a.zarr b.zarr --part 7/100", "one job of an array; after all: --finish"),
    ),
)
@click.argument("source")
@click.argument("target", required=False)
@_choices
@click.option("--add", is_flag=True, help="Add another multiscale to a group that has one.")
@click.option("--overwrite", is_flag=True, help="Replace a Zarr group that is there; the old one goes when the new one is complete.")
@_option("How it is worked", "--workers", type=int, metavar="N", help="Worker processes of this machine, by dask where it is installed.")
@_option("How it is worked", "--processes", is_flag=True, help="A plain pool of processes: as many as --workers, or --threads, or cores.")
@_option("How it is worked", "--scheduler", metavar="URL", help="A dask scheduler whose workers reach source and target: tcp://10.0.0.1:8786.")
@_option("How it is worked", "--part", metavar="K/N", help="Make part K of N, counted from 1, and publish nothing: for job arrays, in any order.")
@_option("How it is worked", "--finish", is_flag=True, help="Make what parts left and the levels above, and publish.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document.")
@common
@gathered
def build(said: Mapping[str, Any]) -> None:
    """Make the levels of SOURCE: a Zarr array, .npy, TIFF, OME-TIFF, PNG, JPEG, a folder of slices, a NetCDF file.

    Without TARGET, levels come beside a Zarr array in its group, and a file becomes FILE.ome.zarr beside it. SOURCE is
    never changed. A build that was interrupted goes on where it stopped when the same command is given again.
    """
    from ziggurat import builder
    from ziggurat.cli.progress import Progress

    talk = click.get_current_context().ensure_object(Talk)
    source, target, add, overwrite = said["source"], said["target"], said["add"], said["overwrite"]
    planned = builder.plan(source, target, add=add, overwrite=overwrite, **_said(said))
    if planned.in_place:
        talk.say(f"in place: levels are added beside {planned.source}, which is not written to; only its group's attributes change")
    for note in planned.notes:
        talk.say(words.as_options(note))
    if len(planned.levels) == 1:
        talk.say("one level: the base already fits a chunk along every axis that is reduced; say --levels or smaller --chunks for more")
    talk.resumes = True
    with _workers(said, planned.threads) as executor, Progress(talk) as progress:
        result = builder.build(
            source, target, plan=planned, add=add, overwrite=overwrite, executor=executor, progress=progress, part=said["part"], finish=said["finish"]
        )
    if said["as_json"]:
        data_json(result.to_json())
    elif not talk.quiet:
        data(str(result))


@contextmanager
def _workers(said: Mapping[str, Any], n_threads: int) -> Iterator[Any]:
    """Gives what makes the roots: threads of this process, worker processes, or a scheduler."""
    n, pool, scheduler = said["workers"], said["processes"], said["scheduler"]
    if scheduler is not None and (n is not None or pool):
        raise click.UsageError("--scheduler has workers of its own; leave --workers and --processes out")
    if n is None and not pool:
        yield scheduler
        return
    from ziggurat.builder.clusters import worker_processes

    with worker_processes(n_threads if n is None else n, pool=pool) as executor:
        yield executor
