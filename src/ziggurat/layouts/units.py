"""Units of length and time: the short spellings of microscopes and meshes, and the long names that the model keeps (UDUNITS-2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "": "", "y": "yocto", "z": "zepto", "a": "atto", "f": "femto", "p": "pico", "n": "nano", "u": "micro", "m": "milli", "c": "centi",
        "d": "deci", "h": "hecto", "k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta", "E": "exa", "Z": "zetta", "Y": "yotta",
    }
)  # fmt: skip
_SHORT: Mapping[str, str] = MappingProxyType(
    {
        **{f"{short}m": f"{long}meter" for short, long in _PREFIXES.items()},
        **{f"{short}s": f"{long}second" for short, long in _PREFIXES.items() if short not in ("c", "d", "h")},
        "min": "minute", "h": "hour", "d": "day", "in": "inch", "ft": "foot", "yd": "yard", "mi": "mile", "\u00c5": "angstrom",
    }
)  # fmt: skip
_OTHER: Mapping[str, str] = MappingProxyType(
    {"\u00b5m": "micrometer", "\u03bcm": "micrometer", "\u212b": "angstrom", "micron": "micrometer", "microns": "micrometer"}
)
_NAMES = frozenset(_SHORT.values())


def long_unit(text: str | None) -> str | None:
    """Returns a unit by its long name; one that is not known as it is, an empty one as None.

    >>> long_unit("nm"), long_unit("\u00b5m"), long_unit("Microns"), long_unit("nanometers"), long_unit("pixel"), long_unit("")
    ('nanometer', 'micrometer', 'micrometer', 'nanometer', 'pixel', None)
    """
    if not text or not text.strip():
        return None
    plain = text.strip()
    low = plain.lower()
    british = low.replace("metre", "meter")
    found = _SHORT.get(plain) or _OTHER.get(plain) or _OTHER.get(low)
    return found or next((name for name in (british, british.removesuffix("s")) if name in _NAMES), text)


def short_unit(name: str | None) -> str | None:
    """Returns the short spelling of a unit, in ASCII where there is one; one that is not known as it is.

    >>> short_unit("micrometer"), short_unit("second"), short_unit("angstrom") == "\u00c5", short_unit("pixel")
    ('um', 's', True, 'pixel')
    """
    return next((short for short, long in _SHORT.items() if long == long_unit(name)), name)
