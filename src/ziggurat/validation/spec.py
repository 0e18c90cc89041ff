"""The specification of `multiscales@0.1`, printed from the table of rules: as a page and as a JSON Schema."""

from __future__ import annotations

import textwrap

from ziggurat.layouts.rules import FOUNDING, Rule
from ziggurat.model import JSON

SCHEMA_ID = "multiscales-0.1.schema.json"

_BEFORE = """\
# multiscales v0.1

Arrays that are scaled-down versions of one another, and the attributes that say so. This page restates the proposal of
zarr-specs issue #50 rule by rule; it is generated from the table that `ziggurat check` runs on.

The words MUST, SHOULD and MAY are those of RFC 2119, and mean here:

- **MUST**: without it, the series is not detected. `ziggurat check` exits with 1.
- **SHOULD**: its absence may cause issues in later versions. `ziggurat check` prints one line of advice.
- **MAY**: may be left out; nothing is said.
- **UNPARSED**: when a document moves from one version to the next, the value stays what it is, whatever it is.
- **NOTE**: no rule of the proposal; an observation that helps to read what is there.
"""

_BETWEEN = """\
## What a reader does

- Several series may stand in one group, and may share arrays. The first is chosen when nothing is said; others by
  name, by type, or by what their arrays are (such as the shape of their chunks).
- A series that breaks one of MS002 to MS004 is left out, reported, and hides none of the others.
- An array that is missing is reported; the other levels can be read. Without the first, the series cannot be opened.
- Levels are shown largest first, whatever the order of the document; the order found is kept for writing back.
- An unknown `version` is reported and read as far as the keys above go; it is never rewritten.
- Keys that no rule names are kept, at every depth, with their order.

## Example
"""

_EXAMPLE = """\
```json
{
  "multiscales": [
    {
      "version": "0.1",
      "name": "mean",
      "datasets": [
        {"path": "base"},
        {"path": "M1"},
        {"path": "M2"}
      ],
      "type": "mean",
      "metadata": {
        "method": "ziggurat.mean",
        "version": "0.1.0",
        "args": [],
        "kwargs": {"reduction": "mean", "factors": [[2, 2, 1], [2, 2, 1]], "anchor": "centre"}
      }
    }
  ]
}
```
"""

_AFTER = """\
## What v0.1 cannot say

- **Where samples lie.** There is no scale, no translation, no unit. From sizes alone, 275 samples over 137 is a factor of 2
  with one sample cut off, or a resize by 2.007. Block means shift the first sample by half the factor less a half; picking
  every second sample shifts nothing. The difference is half a base sample at the first level, and it doubles from level to level.
- **What the axes are.** Names stand with the arrays (`dimension_names`, `_ARRAY_DIMENSIONS`) or nowhere. The proposal's own
  sample, of shape (1024, 1024, 3), is y, x, c by the eye of a person.
- **Which `type` words are valid.** The enumeration that the text points to is not part of it, so the vocabulary is open here.
- **Whether level 0 is an original or a copy**, and whether a level was made from the base or from the level before.
- **Rotations, non-uniform grids, missing samples, how to show the samples.**

What `ziggurat` does about it: axes and geometry that are inferred are marked `inferred`, never shown as stated. Where
`metadata.method` begins with `ziggurat.`, `metadata.kwargs` holds the factors and the anchor, and the geometry of every level is
`derived` from them, in base samples. The values of all other methods are opaque. `ziggurat upgrade --to ome-zarr@0.5` writes what
is known into a version that has words for it.
"""


def spec_markdown() -> str:
    """Returns the specification of v0.1 as a page of Markdown, generated from the rules."""
    rows = ["| id | requirement | rule | key | source |", "|---|---|---|---|---|"]
    for rule in FOUNDING:
        requirement = f"{rule.requirement}, UNPARSED" if rule.unparsed else rule.requirement
        key = f"`{rule.key}`" if rule.key else ""
        rows.append(f"| {rule.id} | {requirement} | {rule.text} | {key} | {rule.source} |")
    return "\n".join([_BEFORE, "## Rules\n", *rows, "", _BETWEEN, _EXAMPLE, _AFTER])


def spec_schema() -> dict[str, JSON]:
    """Returns the JSON Schema (2020-12) of a group's attributes: every MUST that a schema can express, and the kinds of all other keys.

    It cannot express that an array is at each path (MS005), their order (MS006) and their axes (MS007).
    """
    root: dict[str, JSON] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "multiscales v0.1",
        "description": textwrap.shorten("Attributes of a Zarr group that holds multiscale arrays, as zarr-specs issue #50 proposes them.", 200),
    }
    for rule in FOUNDING:
        if rule.key:
            _add(root, rule)
    return root


def _add(root: dict[str, JSON], rule: Rule) -> None:
    """Puts one rule at its key: `a[].b` is property `b` of the objects in list `a`."""
    here = root
    *above, last = rule.key.split(".")
    for part in above:
        here.setdefault("type", "object")
        properties = here.setdefault("properties", {})
        name = part.removesuffix("[]")
        below = properties.setdefault(name, {}) if isinstance(properties, dict) else {}
        if part.endswith("[]") and isinstance(below, dict):
            below = below.setdefault("items", {})
        here = below if isinstance(below, dict) else {}
    here.setdefault("type", "object")
    properties = here.setdefault("properties", {})
    place = properties.setdefault(last, {}) if isinstance(properties, dict) else {}
    if isinstance(place, dict):
        said = place.get("description")
        place["description"] = f"{said} {rule.id}: {rule.text}" if said else f"{rule.id} ({rule.requirement}): {rule.text}"
        place.update(rule.schema)
    required = here.setdefault("required", []) if rule.requirement == "MUST" else None
    if isinstance(required, list) and last not in required:
        required.append(last)
