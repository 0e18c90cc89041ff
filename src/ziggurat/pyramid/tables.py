"""A pyramid as text and as HTML. Names come from documents that anyone may have written, so everything shown is escaped."""

from __future__ import annotations

import base64
import html
import itertools
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ziggurat.model import Axis, Provenance
from ziggurat.problems import shown

if TYPE_CHECKING:
    from ziggurat.pyramid.levels import LevelView, Pyramid
    from ziggurat.pyramid.members import Collection

GUESSED: tuple[Provenance, ...] = ("inferred", "absent")
_MARK = "~"
_LEGEND = "~ inferred: the document does not state it"
_WIDE = 100
"""Columns: what a notebook's cell holds in a line."""
_THUMBNAIL = 192
"""Rows and columns of the picture in a notebook, and the decoded bytes of the coarsest level that are read for it at the most."""
_THUMBNAIL_BYTES = 2**22


def bytes_shown(n_bytes: int) -> str:
    """Returns a size in the largest binary unit that leaves at least 1.

    >>> bytes_shown(999), bytes_shown(3 * 2**20), bytes_shown(2**40 + 2**39)
    ('999 B', '3.0 MiB', '1.5 TiB')
    """
    value, unit = float(n_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1023.95 or unit == "PiB":
            break
        value /= 1024
    return f"{n_bytes} B" if unit == "B" else f"{value:.1f} {unit}"


def product(numbers: Iterable[int]) -> str:
    """Returns a shape as a person writes it.

    >>> product((3, 1024, 1024))
    '3 x 1024 x 1024'
    """
    return " x ".join(map(str, numbers))


def number(value: float) -> str:
    """Returns a coordinate in at most seven digits; `--json` has them all.

    >>> number(0.5), number(2.0), number(1 / 3)
    ('0.5', '2', '0.3333333')
    """
    return f"{value + 0.0:.7g}"


def wrapped(word: str, text: str, width: int) -> str:
    """Returns an escaped paragraph behind a word, in lines of at most `width` columns that line up behind it."""
    start = f"{word:<8}" if word else ""
    return textwrap.fill(shown(text), max(width, 40), initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False, break_on_hyphens=False)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> list[str]:
    """Returns aligned lines, the header first; columns named in `right` are flush right. Cells are escaped."""
    cells = [[shown(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = (c.rjust(w) if name in right else c.ljust(w) for c, w, name in zip(row, widths, header, strict=True))
        lines.append("  ".join(parts).rstrip())
    return lines


def axes_shown(axes: Sequence[Axis]) -> str:
    """Returns the axes in stored order, each group of one unit followed by it.

    >>> axes_shown([Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")])
    'c, y x (micrometer)'
    """
    parts = []
    for unit, group in itertools.groupby(axes, key=lambda axis: axis.unit):
        names = [(_MARK if axis.provenance in GUESSED else "") + shown(axis.name) for axis in group]
        parts.append(" ".join(names) + (f" ({shown(unit)})" if unit is not None else ""))
    return ", ".join(parts)


def _title(pyramid: Pyramid) -> str:
    """Returns what a multiscale is called, what it is written in, and which of several it is."""
    place, count = pyramid.position
    name = f"'{shown(pyramid.name)}'" if pyramid.name is not None else "without a name"
    words = [f"multiscale {name}", shown(pyramid.layout)]
    if pyramid.type is not None:
        words.append(f"type {shown(pyramid.type)}")
    if count > 1:
        words.append(f"{place + 1} of {count}")
    return " · ".join(words)


def _facts(pyramid: Pyramid, *, located: bool) -> list[tuple[str, str]]:
    """Returns what holds for the whole pyramid: (word, text) pairs."""
    infos = [level.info for level in pyramid.levels]
    facts = [("at", shown(pyramid.location))] if located else []
    facts.append(("axes", axes_shown(pyramid.axes)))
    if not infos:
        return facts
    samples = [shown(infos[0].dtype)] if len({info.dtype for info in infos}) == 1 else []
    if len({info.chunks for info in infos}) == 1:
        samples.append(f"chunks {product(infos[0].chunks)}")
    if len({info.shards for info in infos}) == 1 and infos[0].shards is not None:
        samples.append(f"shards {product(infos[0].shards)}")
    if len({info.codecs for info in infos}) == 1 and infos[0].codecs:
        samples.append(shown(infos[0].codecs))
    if samples:
        facts.append(("samples", ", ".join(samples)))
    if pyramid.levels[0].scale_provenance not in GUESSED:
        sizes = (
            f"{shown(axis.name)} {number(abs(high - low))}" + (f" {shown(axis.unit)}" if axis.unit else "")
            for axis, (low, high) in zip(pyramid.axes, pyramid.extent, strict=True)
        )
        facts.append(("extent", ", ".join(sizes)))
    return facts


def _placed_axes(pyramid: Pyramid) -> list[int]:
    """Returns the axes whose scale and translation say something: not 1 and 0 at every level."""
    said = [axis for axis in range(len(pyramid.axes)) if any(level.scale[axis] != 1 or level.translation[axis] != 0 for level in pyramid.levels)]
    return said or list(range(len(pyramid.axes)))


def _aligned(word: str, pyramid: Pyramid, axes: Sequence[int], rows: Sequence[tuple[Sequence[float], Provenance] | None]) -> tuple[str, list[str]]:
    """Returns a header and one cell per row, with the numbers of each axis below its name; None is a level without numbers."""
    texts = [[] if row is None else [number(row[0][axis]) for axis in axes] for row in rows]
    names = [shown(pyramid.axes[axis].name) for axis in axes]
    widths = [max(len(name), *(len(text[i]) for text in texts if text)) for i, name in enumerate(names)]
    cells = []
    for row, text in zip(rows, texts, strict=True):
        first = (_MARK if row is not None and row[1] in GUESSED else "") + (text[0] if text else "-")
        rest = (f" {t.rjust(w)}" for t, w in zip(text[1:], widths[1:], strict=False))
        cells.append(" " * len(word) + first.rjust(widths[0] + 1 if widths else 1) + "".join(rest))
    return f"{word} " + " ".join(name.rjust(w) for name, w in zip(names, widths, strict=True)), cells


def _columns(pyramid: Pyramid) -> tuple[list[str], list[list[str]], list[str], list[list[str]]]:
    """Returns header and rows of what is stored, and of where it lies; one row per level of the document."""
    infos = [level.info for level in pyramid.levels]
    each_dtype = len({info.dtype for info in infos}) > 1
    each_chunks = len({info.chunks for info in infos}) > 1
    stored = ["level", "path", "shape", *(["chunks"] if each_chunks else []), *(["dtype"] if each_dtype else []), "size"]
    there: dict[int, LevelView] = {level.index: level for level in pyramid.levels}
    views = [there.get(index) for index in range(len(pyramid.multiscale.levels))]
    rows = []
    for index, (level, view) in enumerate(zip(pyramid.multiscale.levels, views, strict=True)):
        if view is None:
            rows.append([str(index), level.path, "missing", *["-"] * (len(stored) - 3)])
            continue
        info = view.info
        each = [*([product(info.chunks)] if each_chunks else []), *([info.dtype] if each_dtype else [])]
        rows.append([str(index), level.path, product(info.shape), *each, bytes_shown(info.size_bytes) if info.itemsize else "?"])
    axes = _placed_axes(pyramid)
    scale, scales = _aligned("scale", pyramid, axes, [(v.scale, v.scale_provenance) if v else None for v in views])
    shift, shifts = _aligned("translation", pyramid, axes, [(v.translation, v.translation_provenance) if v else None for v in views])
    return stored, rows, [scale, shift], [list(pair) for pair in zip(scales, shifts, strict=True)]


def _guessed(pyramid: Pyramid) -> bool:
    return any(level.scale_provenance in GUESSED or level.translation_provenance in GUESSED for level in pyramid.levels) or any(
        axis.provenance in GUESSED for axis in pyramid.axes
    )


def describe(pyramid: Pyramid, *, width: int = _WIDE, located: bool = True) -> str:
    """Returns a pyramid as lines of at most `width` columns where the names allow it: title, facts, and a table of the levels.

    `located` says where it is as well.
    """
    lines = [_title(pyramid)]
    facts = _facts(pyramid, located=located)
    lines += [f"  {word:<8} {text}" for word, text in facts]
    if pyramid.levels:
        stored, stored_rows, placed, placed_rows = _columns(pyramid)
        whole = table([*stored, *placed], [[*a, *b] for a, b in zip(stored_rows, placed_rows, strict=True)], right=("level", "size"))
        if max(map(len, whole)) + 2 > width:
            first = table(stored, stored_rows, right=("level", "size"))
            second = table(["level", *placed], [[a[0], *b] for a, b in zip(stored_rows, placed_rows, strict=True)], right=("level",))
            whole = [*first, "", *second]
        lines += ["", *(f"  {line}".rstrip() for line in whole)]
        if _guessed(pyramid):
            lines.append(f"  {_LEGEND}")
    return "\n".join(lines)


def describe_html(pyramid: Pyramid) -> str:
    """Returns a pyramid as one HTML fragment, for notebooks: no script, no style sheet, nothing unescaped."""

    def cell(text: str, tag: str = "td") -> str:
        return f'<{tag} style="text-align:left">{html.escape(shown(text))}</{tag}>'

    facts = "".join(f"<tr>{cell(word, 'th')}{cell(text)}</tr>" for word, text in _facts(pyramid, located=True))
    parts = [f"<div><p><strong>{html.escape(_title(pyramid))}</strong></p>", f"<table><tbody>{facts}</tbody></table>"]
    if pyramid.levels:
        stored, stored_rows, placed, placed_rows = _columns(pyramid)
        head = "".join(cell(word, "th") for word in (*stored, *placed))
        rows = "".join("<tr>" + "".join(map(cell, (*a, *b))) + "</tr>" for a, b in zip(stored_rows, placed_rows, strict=True))
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
        if _guessed(pyramid):
            parts.append(f"<p>{html.escape(_LEGEND)}</p>")
        parts.append(_thumbnail(pyramid))
    return "".join((*parts, "</div>"))


def _thumbnail(pyramid: Pyramid) -> str:
    """Returns the coarsest level as a picture inside the text, for a local pyramid whose coarsest level is small; else nothing."""
    if "://" in pyramid.location:
        return ""
    from ziggurat.pyramid.pictures import thumbnail

    found = thumbnail(pyramid, (_THUMBNAIL, _THUMBNAIL), max_bytes=_THUMBNAIL_BYTES)
    if found is None:
        return ""
    encoded = base64.b64encode(found.encode()).decode()
    return f'<img alt="level {found.levels[0]}" style="max-width:{_THUMBNAIL}px;image-rendering:pixelated" src="data:image/png;base64,{encoded}">'


# --- collections ---------------------------------------------------------------------------------------------------------

N_SHOWN = 20
"""Members in a table; a plate has hundreds, which its map shows."""
_MAP_COLUMNS = 48
"""The widest plate, of 1536 wells."""


def describe_members(collection: Collection, *, width: int = _WIDE, located: bool = True) -> str:
    """Returns a collection as lines: what it holds, a map where that is a plate, and a table of the first members. Opens none of them."""
    lines = [f"{collection.summary()} · {', '.join(map(shown, collection.layouts))}"]
    if located:
        lines.append(f"  at       {shown(collection.location)}")
    drawn = _plate_map([member.name for member in collection.direct if member.kind == "well"])
    if drawn and len(drawn[0]) + 2 <= width:
        lines += ["", *(f"  {line}" for line in drawn)]
    first = list(itertools.islice(collection.walk(), N_SHOWN + 1))
    keys = list(dict.fromkeys(key for member in first for key, value in member.about.items() if isinstance(value, str | int | float)))[:4]
    rows = [[member.name, member.kind, *(_cell(member.about.get(key)) for key in keys)] for member in first[:N_SHOWN]]
    if rows:
        lines += ["", *(f"  {line}" for line in table(("member", "kind", *keys), rows))]
    if len(first) > N_SHOWN:
        lines.append("  ...")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _plate_map(names: Sequence[str]) -> list[str]:
    """Returns a plate as it lies on the bench: a line per row, an o for each well that there is; empty for names that are no wells.

    >>> _plate_map(["A/1", "A/2", "B/2"])
    ['   1 2', 'A  o o', 'B  . o']
    """
    wells = [tuple(name.split("/")) for name in names]
    if not wells or any(len(well) != 2 for well in wells):
        return []
    rows, columns = (sorted({well[i] for well in wells}, key=lambda name: (not name.isdigit(), len(name), name)) for i in (0, 1))
    if len(columns) > _MAP_COLUMNS or len(rows) > _MAP_COLUMNS:
        return []
    there, wide, margin = set(wells), max(map(len, columns)), max(map(len, rows)) + 1
    lines = [f"{'':{margin}} " + " ".join(shown(column).rjust(wide) for column in columns)]
    lines += [f"{shown(row):{margin}} " + " ".join(("o" if (row, column) in there else ".").rjust(wide) for column in columns) for row in rows]
    return lines
