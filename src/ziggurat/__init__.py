"""Multiscale arrays: build, open, check and upgrade image pyramids.

>>> import ziggurat as zg
>>> zg.__version__
'0.1.0'

Everything public is here and is imported when it is first asked for, so that `import ziggurat` costs next to nothing.
"""

from ziggurat.version import __version__

TYPE_CHECKING = False  # type checkers know the name; importing typing would be most of what this module costs

if TYPE_CHECKING:
    from ziggurat.bridges.server import Server, serve, view
    from ziggurat.builder import BuildResult, build, plan, rebuild
    from ziggurat.model import ArrayInfo, Axis, Level, Multiscale
    from ziggurat.planner import BuildOptions, BuildPlan
    from ziggurat.problems import Problem, Report, ZigguratError
    from ziggurat.pyramid import Collection, LevelView, Pyramid, check, list_multiscales, open, open_collection
    from ziggurat.pyramid.annotating import AnnotationResult, annotate
    from ziggurat.pyramid.changing import convert
    from ziggurat.pyramid.exporting import export
    from ziggurat.pyramid.fixing import FixResult, fix
    from ziggurat.reductions import reduction
    from ziggurat.transfer import ConversionResult, UpgradeResult, upgrade

__all__ = [
    "AnnotationResult",
    "ArrayInfo",
    "Axis",
    "BuildOptions",
    "BuildPlan",
    "BuildResult",
    "Collection",
    "ConversionResult",
    "FixResult",
    "Level",
    "LevelView",
    "Multiscale",
    "Problem",
    "Pyramid",
    "Report",
    "Server",
    "UpgradeResult",
    "ZigguratError",
    "__version__",
    "annotate",
    "build",
    "check",
    "convert",
    "export",
    "fix",
    "list_multiscales",
    "open",
    "open_collection",
    "plan",
    "rebuild",
    "reduction",
    "serve",
    "upgrade",
    "view",
]

_ROOMS = (
    ("bridges.server", ("Server", "serve", "view")),
    ("builder", ("BuildResult", "build", "plan", "rebuild")),
    ("model", ("ArrayInfo", "Axis", "Level", "Multiscale")),
    ("planner", ("BuildOptions", "BuildPlan")),
    ("problems", ("Problem", "Report", "ZigguratError")),
    ("pyramid", ("Collection", "LevelView", "Pyramid", "check", "list_multiscales", "open", "open_collection")),
    ("pyramid.annotating", ("AnnotationResult", "annotate")),
    ("pyramid.changing", ("convert",)),
    ("pyramid.exporting", ("export",)),
    ("pyramid.fixing", ("FixResult", "fix")),
    ("reductions", ("reduction",)),
    ("transfer", ("ConversionResult", "UpgradeResult", "upgrade")),
)


if not TYPE_CHECKING:  # so that a type checker refuses a name that is not here

    def __getattr__(name: str) -> object:
        """Imports a public name from the module that defines it, once."""
        for room, names in _ROOMS:
            if name in names:
                from importlib import import_module

                value = getattr(import_module(f"ziggurat.{room}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'ziggurat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
