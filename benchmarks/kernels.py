"""Kernels alone, in GB of the finer level per second and core, beside other people's; writes docs/kernels.md and benchmarks/kernels.json.

    python benchmarks/kernels.py                # some minutes
    python benchmarks/kernels.py --only scipy   # one of the programs again; the others' rows stay

Every program reduces the same arrays in memory by 2 x 2 x 2, from samples to samples of the same dtype, rounding included, in a process of its
own that may run on one core only. The best of several runs counts: what a kernel can do, not what a busy machine lets it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "kernels.json"
SIDE = 128
"""Of the cube: 4 MiB of uint16, some times a core's own cache."""
PROGRAMS: Mapping[str, str | None] = {
    "ziggurat": None,
    "tensorstore": "tensorstore",
    "scipy": None,
    "scikit-image": None,
    "topozarr-core": "topozarr",
    "ngff-zarr": "ngff-zarr",
}
"""Program -> its environment; None is the project's own."""
CASES: Sequence[tuple[str, str, str]] = (
    ("mean", "uint8", "mean of uint8"),
    ("mean", "uint16", "mean of uint16"),
    ("mean", "float32", "mean of float32"),
    ("mean", "float32nan", "mean of float32 with 10 % scattered NaN"),
    ("stride", "uint16", "stride of uint16"),
    ("max", "uint16", "max of uint16"),
    ("median", "uint16", "median of uint16"),
    ("mode", "uint32", "mode of uint32 labels (cells)"),
    ("mode", "uint32random", "mode of uint32 labels, 4 at random"),
)
Reduce = Callable[[Any], Any]


def arrays() -> dict[str, Any]:
    """Returns the cubes by the word of their case: smooth noise, and the nearest of some hundred scattered points as labels."""
    import numpy as np
    from scipy import ndimage
    from scipy.spatial import cKDTree

    draw = np.random.default_rng(50)
    smooth = ndimage.gaussian_filter(draw.normal(size=(SIDE,) * 3).astype(np.float32), 1.5)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    points = draw.uniform(0, SIDE, (400, 3))
    places = np.stack(np.meshgrid(*[np.arange(SIDE, dtype=np.float32)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = cKDTree(points).query(places)[1].reshape((SIDE,) * 3)
    return {
        "uint8": (smooth * 255).astype(np.uint8),
        "uint16": (smooth * 4095).astype(np.uint16),
        "float32": smooth,
        "float32nan": np.where(draw.random(smooth.shape) < 0.1, np.float32("nan"), smooth),
        "uint32": (cells * 977 + 5).astype(np.uint32),
        "uint32random": draw.integers(0, 4, smooth.shape, dtype=np.uint32),
    }


# --- how each program reduces; None where it has no such reduction


def _ziggurat(reduction: str, array: Any) -> Reduce | None:
    """In cubes of 64, as a build works: a cube stays in the cache while it is folded and rounded."""
    import numpy as np

    from ziggurat import reductions

    row, side = reductions.find(reduction), 64

    def reduce(whole: Any) -> Any:
        out = np.empty([n // 2 for n in whole.shape], whole.dtype)
        for start in np.ndindex(*(n // side for n in whole.shape)):
            block = np.ascontiguousarray(whole[tuple(slice(i * side, (i + 1) * side) for i in start)])
            out[tuple(slice(i * side // 2, (i + 1) * side // 2) for i in start)] = reductions.reduce_array(row, block, [(2, 2, 2)])[0]
        return out

    return reduce


def _tensorstore(reduction: str, array: Any) -> Reduce | None:
    import tensorstore as ts

    return lambda whole: ts.downsample(ts.array(whole), [2, 2, 2], reduction).read().result()


def _scipy(reduction: str, array: Any) -> Reduce | None:
    from scipy import ndimage

    sizes: dict[str, Reduce] = {
        "mean": lambda whole: ndimage.uniform_filter(whole, 2, origin=-1)[::2, ::2, ::2],
        "max": lambda whole: ndimage.maximum_filter(whole, 2, origin=-1)[::2, ::2, ::2],
        "median": lambda whole: ndimage.median_filter(whole, 2, origin=-1)[::2, ::2, ::2],
    }
    return sizes.get(reduction)


def _scikit_image(reduction: str, array: Any) -> Reduce | None:
    import numpy as np
    from skimage.measure import block_reduce

    functions = {"mean": np.nanmean if array.dtype.kind == "f" and np.isnan(array).any() else np.mean, "max": np.max, "median": np.median}
    return (lambda whole: block_reduce(whole, 2, functions[reduction]).astype(whole.dtype)) if reduction in functions else None


def _topozarr_core(reduction: str, array: Any) -> Reduce | None:
    import topozarr_core

    word = {"stride": "nearest"}.get(reduction, reduction)
    return (lambda whole: topozarr_core.block_reduce(whole, (2, 2, 2), word)) if word in topozarr_core.METHODS else None


def _ngff_zarr(reduction: str, array: Any) -> Reduce | None:
    import dask
    import ngff_zarr as nz
    import numpy as np

    dask.config.set(scheduler="synchronous")
    methods = {"mean": nz.Methods.ITKWASM_BIN_SHRINK, "mode": nz.Methods.DASK_IMAGE_MODE}
    if reduction not in methods:
        return None

    def reduce(whole: Any) -> Any:
        image = nz.to_ngff_image(whole, dims=["z", "y", "x"])
        return np.asarray(nz.to_multiscales(image, scale_factors=[2], method=methods[reduction], chunks=64).images[1].data)

    return reduce


MAKERS: Mapping[str, Callable[[str, Any], Reduce | None]] = {
    "ziggurat": _ziggurat,
    "tensorstore": _tensorstore,
    "scipy": _scipy,
    "scikit-image": _scikit_image,
    "topozarr-core": _topozarr_core,
    "ngff-zarr": _ngff_zarr,
}


def measure(program: str, folder: Path) -> dict[str, float]:
    """Returns GB/s per case, in this process."""
    import time
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    found = {}
    for reduction, word, _ in CASES:
        array = np.load(folder / f"{word}.npy")
        reduce = MAKERS[program](reduction, array)
        if reduce is None:
            continue
        best, spent = float("inf"), 0.0
        while spent < 3 and best:
            started = time.perf_counter()
            out = reduce(array)
            took = time.perf_counter() - started
            best, spent = min(best, took), spent + took
            if spent > 1 and took > 1:
                break
        if np.asarray(out).size == 0:
            raise ValueError(f"{program} {reduction}: nothing came out")
        found[f"{reduction} {word}"] = round(array.nbytes / best / 1e9, 4)
    return found


def page(results: Mapping[str, Any]) -> str:
    """Returns docs/kernels.md."""
    programs = [p for p in PROGRAMS if p in results["rows"]]
    lines = [
        "# Kernels beside other people's",
        "",
        f"Generated by `python benchmarks/kernels.py`; do not edit. {results['date']}. GB of the finer level per second, on one core, the best of",
        f"several runs; {SIDE}^3 samples reduced by 2 x 2 x 2 in memory, from samples to samples of the same dtype. ziggurat works in cubes of 64, as a",
        "build does, and its figures hold the fold and the rounding from exact sums. tensorstore's means of floats do not skip NaN: one makes its",
        "window NaN. An empty field: no such reduction.",
        "",
        f"| | {' | '.join(programs)} |",
        "|---|" + "---|" * len(programs),
    ]
    for reduction, word, title in CASES:
        cells = [results["rows"][p]["gb_per_second"].get(f"{reduction} {word}") for p in programs]
        lines.append(f"| {title} | " + " | ".join("" if c is None else _shown(c) for c in cells) + " |")
    versions = ", ".join(f"{p} {results['rows'][p]['version']}" for p in programs)
    ours = results["rows"]["ziggurat"]["gb_per_second"]
    lines += [
        "",
        f"Versions: {versions}.",
        "",
        f"A mean with 10 % scattered NaN takes {ours['mean float32'] / ours['mean float32nan']:.2f} times as long as one without.",
    ]
    return "\n".join(lines) + "\n"


def _shown(figure: float) -> str:
    return f"{figure:.1f}" if figure >= 1 else f"{figure:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(PROGRAMS))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(json.dumps(measure(args.measure, args.folder)))
        return
    import importlib.metadata

    import numpy as np

    sys.path.insert(0, str(ROOT / "interop"))
    import environments

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}}
    with tempfile.TemporaryDirectory(prefix="ziggurat-kernels-") as place:
        for word, array in arrays().items():
            np.save(Path(place) / f"{word}.npy", array)
        for program in args.only or PROGRAMS:
            environment = PROGRAMS[program]
            python = environments.python_of(environment) if environment else sys.executable
            command = [python, str(HERE / "kernels.py"), "--measure", program, "--folder", place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{program}: {done.stderr.strip()[-300:]}", file=sys.stderr)
                continue
            first = environments.ENVIRONMENTS[environment].report[0] if environment else program
            version = environments.versions_of(environment)[first] if environment else importlib.metadata.version(program)
            results["rows"][program] = {"version": version, "gb_per_second": json.loads(done.stdout.splitlines()[-1])}
            print(program, results["rows"][program], flush=True)
    results["date"] = datetime.date.today().isoformat()
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    (ROOT / "docs" / "kernels.md").write_text(page(results))


if __name__ == "__main__":
    main()
