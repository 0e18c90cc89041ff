"""Peer environments: a table name -> packages and Python version, made on demand under `.envs/` of the checkout.

Peers pin each other out (pydantic below 2.13 for some, zarr 3.1 on Python 3.11 for others), so each lives alone.

    python interop/environments.py                 # list the table and what is installed
    python interop/environments.py ome-zarr ...    # make some
    python interop/environments.py --all
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".envs"


@dataclass(frozen=True, slots=True)
class Environment:
    """One virtual environment of one peer."""

    packages: tuple[str, ...]
    """Requirements for pip, or package names for npm."""
    python: str = "3.13"
    """Preferred Python; the nearest that is installed is taken, and its version is part of every result."""
    report: tuple[str, ...] = ()
    """Distributions whose versions a result states; the peer itself first."""
    npm: bool = False
    bare: tuple[str, ...] = ()
    """Requirements that are installed without their own: one of these has no wheel, and is not needed."""
    source: tuple[str, ...] = ()
    """Distributions that have no wheel and are built (pure Python only)."""


_XCUBE = (
    *("affine", "aiohttp", "altair", "botocore", "cftime", "chartlets", "click", "cmocean", "cryptography", "dask", "dask-image", "deprecated", "distributed"),
    *("fiona", "fsspec", "geopandas", "jdcal", "jsonschema", "mashumaro", "matplotlib<4", "netcdf4", "numba", "numcodecs", "numpy", "pandas<3"),
    *("pillow", "pyjwt", "pyproj", "pyyaml", "rasterio", "requests", "rfc3339-validator", "rioxarray", "s3fs", "setuptools<81", "shapely", "tabulate"),
    *("tornado<6.5", "urllib3", "xarray", "zarr>=3.1.4,<4"),
)
"""What xcube-core asks for, without gdal."""

ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        "tensorstore": Environment(("tensorstore", "numpy"), report=("tensorstore", "numpy")),
        "zarr-3.1.6": Environment(("zarr==3.1.6",), python="3.11", report=("zarr", "numcodecs")),
        "zarr-newest": Environment(("zarr",), report=("zarr", "numcodecs")),
        "xarray": Environment(("xarray", "zarr"), report=("xarray", "zarr")),
        "zarrita": Environment(("zarrita", "@zarrita/storage"), report=("zarrita", "numcodecs"), npm=True),
        "ome-zarr": Environment(("ome-zarr",), report=("ome-zarr", "zarr", "dask")),
        # the default method of ngff-zarr needs itkwasm-downsample; `validate` brings jsonschema, for the OME schemas that it ships
        "ngff-zarr": Environment(("ngff-zarr[dask-image,validate]", "itkwasm-downsample", "zarrista"), report=("ngff-zarr", "zarr", "dask")),
        "yaozarrs": Environment(("yaozarrs[io]", "zarr"), report=("yaozarrs", "zarr")),
        "ome-zarr-models": Environment(("ome-zarr-models",), report=("ome-zarr-models", "zarr", "pydantic")),
        "napari-ome-zarr": Environment(("napari-ome-zarr", "napari"), report=("napari-ome-zarr", "napari", "ome-zarr", "zarr")),
        "dyna-zarr": Environment(("dyna-zarr",), report=("dyna-zarr", "zarr", "tensorstore")),
        "z5py": Environment(("z5py", "numpy"), report=("z5py", "numpy")),
        "zarr-n5": Environment(("zarr-n5", "zarr"), report=("zarr-n5", "zarr")),
        "pybdv": Environment(("pybdv", "z5py"), report=("pybdv", "z5py")),
        "cloud-volume": Environment(("cloud-volume",), python="3.12", report=("cloud-volume",)),
        "neuroglancer-scripts": Environment(("neuroglancer-scripts",), python="3.12", report=("neuroglancer-scripts", "nibabel")),
        "itk": Environment(("itk", "xarray", "zarr"), python="3.12", report=("itk", "xarray", "zarr")),
        # still on zarr 2, which wrote N5 itself
        "cellmap-schemas": Environment(
            ("cellmap-schemas", "pydantic-zarr<0.8", "zarr<3"), python="3.11", report=("cellmap-schemas", "pydantic-zarr", "zarr", "pydantic")
        ),
        "webknossos": Environment(("webknossos>=2",), source=("loxun",), report=("webknossos", "zarr", "tensorstore")),
        "rasterio": Environment(("rasterio",), report=("rasterio",)),
        "scikit-image": Environment(("scikit-image", "numpy"), report=("scikit-image", "numpy")),
        "multiscale-spatial-image": Environment(("multiscale-spatial-image[dask-image]", "zarr"), report=("multiscale-spatial-image", "xarray", "zarr")),
        "spatialdata": Environment(("spatialdata",), report=("spatialdata", "ome-zarr", "xarray", "zarr")),
        # gdal has no wheels, and what multi-level datasets need of xcube imports none of it
        "xcube": Environment(_XCUBE, bare=("xcube-core==1.14.1",), report=("xcube-core", "xarray", "zarr")),
        # the conventions of the GeoZarr family: zarr-cm restates their schemas rule by rule, geozarr-toolkit has models of its own
        "geozarr": Environment(("zarr-cm", "geozarr-toolkit", "zarr"), report=("zarr-cm", "geozarr-toolkit", "zarr")),
        "topozarr": Environment(("topozarr", "xarray", "zarr"), report=("topozarr", "xarray", "zarr")),
        "ndpyramid": Environment(("ndpyramid", "rioxarray", "dask"), report=("ndpyramid", "xarray", "zarr")),
        "rioxarray": Environment(("rioxarray", "xarray", "zarr", "dask"), report=("rioxarray", "xarray", "zarr")),
        # servers for the tests of stores, and the fsspec clients that ask them; heavy (boto, grpc), so not in the environment of the suite
        "servers": Environment(
            ("moto[server]", "gcp-storage-emulator", "setuptools<81", "s3fs", "gcsfs", "obstore", "numpy", "zarr", "imagecodecs", "tifffile", "click", "rich"),
            python="3.11",
            report=("moto", "gcp-storage-emulator", "s3fs", "gcsfs", "obstore"),
        ),
        "azurite": Environment(("azurite@3.35.0",), npm=True),
        "tifffile": Environment(("tifffile", "imagecodecs", "zarr"), report=("tifffile", "zarr")),
    }
)


def find_python(version: str) -> str:
    """Returns an interpreter of `version`, or the running one where there is none (older than 3.13 means older peers)."""
    minor = tuple(map(int, version.split(".")[:2]))
    if sys.version_info[:2] == minor:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in sorted(pyenv.glob(f"{version}*/bin/python"), reverse=True):
        return str(candidate)
    return shutil.which(f"python{version}") or sys.executable


def python_of(name: str) -> str:
    """Returns the interpreter of an environment, made on first use; for npm environments `node`."""
    environment = ENVIRONMENTS[name]
    home = HOME / name
    if environment.npm:
        ensure(name)
        return shutil.which("node") or "node"
    ensure(name)
    return str(home / "bin" / "python")


def ensure(name: str) -> Path:
    """Makes an environment unless it stands with the same packages; returns its folder."""
    environment = ENVIRONMENTS[name]
    home = HOME / name
    stamp = home / "environment.json"
    wanted = {"packages": [*environment.packages, *environment.bare], "python": environment.python}
    if stamp.exists() and json.loads(stamp.read_text())["wanted"] == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    if environment.npm:
        (home / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        _run(["npm", "install", "--no-audit", "--no-fund", "--silent", *environment.packages], cwd=home)
        versions = {p: _npm_version(home, p) for p in environment.report}
        versions["node"] = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
    else:
        versions = _make_venv(home, environment)
    stamp.write_text(json.dumps({"wanted": wanted, "versions": versions}, indent=1) + "\n")
    return home


def versions_of(name: str) -> dict[str, str]:
    """Returns the versions of what an environment is about, the interpreter included."""
    versions: dict[str, str] = json.loads((ensure(name) / "environment.json").read_text())["versions"]
    return versions


def _make_venv(home: Path, environment: Environment) -> dict[str, str]:
    python = find_python(environment.python)
    _run([python, "-m", "venv", "--clear", str(home)])
    inner = str(home / "bin" / "python")
    uv = Path(sys.executable).with_name("uv")
    tool = str(uv) if uv.exists() else shutil.which("uv")
    install = [tool, "pip", "install", "--quiet", "--python", inner] if tool else [inner, "-m", "pip", "install", "--quiet"]
    _run([*install, *_binary(environment), *environment.packages])
    if environment.bare:
        _run([*install, "--only-binary", ":all:", "--no-deps", *environment.bare])
    code = (
        "import importlib.metadata as m, json, platform, sys\n"
        "have = {d.name.lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        "print(json.dumps({**{p: have[p] for p in sys.argv[1:] if p in have}, 'python': platform.python_version()}))"
    )
    out = subprocess.run([inner, "-c", code, *environment.report], capture_output=True, text=True, check=True).stdout
    versions: dict[str, str] = json.loads(out)
    return versions


def _binary(environment: Environment) -> list[str]:
    return ["--only-binary", ":all:", *(word for name in environment.source for word in ("--no-binary", name))]


def _npm_version(home: Path, package: str) -> str:
    path = home / "node_modules" / package / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else "-"


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*ENVIRONMENTS, []], metavar="NAME")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--json", action="store_true", help="one line: interpreter and versions of the one NAME")
    args = parser.parse_args()
    if args.json:
        print(json.dumps({"python": python_of(args.names[0]), "versions": versions_of(args.names[0])}))
        return
    for name in ENVIRONMENTS if args.all else args.names:
        print(f"{name}: {versions_of(name)}", flush=True)
    if not args.all and not args.names:
        for name, environment in ENVIRONMENTS.items():
            print(f"{name:16} {'made' if (HOME / name / 'environment.json').exists() else 'not made':9} {' '.join(environment.packages)}")


if __name__ == "__main__":
    main()
