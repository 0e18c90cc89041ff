"""The state with which neuroglancer's client shows a pyramid of ours well: order of the axes, contrast, a layer per channel."""

from __future__ import annotations

import json
from urllib.parse import quote

from ziggurat.bridges.server.shown import Shown
from ziggurat.display.png import METRES
from ziggurat.model import JSON, kind_of

_SHADER = "#uicontrol invlerp normalized\n#uicontrol vec3 color color\nvoid main() { emitRGB(color * normalized()); }\n"


def state_of(shown: Shown, root: str) -> dict[str, JSON]:
    """Returns the client's state for a pyramid that is served below `root`.

    Lengths are in metres, as the client has them; what has no unit keeps its numbers. The plane is that of `describe`. Raises what `ziggurat.open` raises.
    """
    pyramid, plane, look = shown.pyramid, shown.plane(), shown.look()
    base = pyramid.levels[0]
    axes = pyramid.axes
    spatial = [i for i, axis in enumerate(axes) if (axis.kind or kind_of(axis.name)) == "space"]
    order = [i for i in (plane.columns, plane.rows) if i is not None]
    order += [i for i in spatial if i not in order][: 3 - len(order)]
    dimensions: dict[str, JSON] = {axes[i].name: _dimension(base.scale[i], axes[i].unit) for i in order}
    position: list[JSON] = [base.translation[i] / (base.scale[i] or 1) + (base.shape[i] - 1) / 2 + 0.5 for i in order]
    source = f"zarr3://{root}/v3-safe/{shown.number}"
    layers: list[JSON] = []
    if look.kind == "labels":
        return _state(dimensions, position, [{"type": "segmentation", "source": source, "name": shown.name}], "4panel" if len(order) == 3 else "xy")
    n = 1 if plane.channel is None else base.shape[plane.channel]
    for i in range(n):
        limits, colour = look.limits_of(i), look.colour_of(i) or (255, 255, 255)
        layer: dict[str, JSON] = {
            "type": "image", "source": source, "name": f"{shown.name} {i}" if n > 1 else shown.name, "blend": "additive", "opacity": 1, "shader": _SHADER,
            "shaderControls": {"normalized": {"range": limits, "window": limits}, "color": f"#{colour[0]:02x}{colour[1]:02x}{colour[2]:02x}"},
        }  # fmt: skip
        if plane.channel is not None:
            name = axes[plane.channel].name
            layer |= {"localDimensions": {f"{name}'": [1, ""]}, "localPosition": [i]}
        layers.append(layer)
    return _state(dimensions, position, layers, "4panel" if len(order) == 3 else "xy")


def _state(dimensions: dict[str, JSON], position: list[JSON], layers: list[JSON], layout: str) -> dict[str, JSON]:
    return {"dimensions": dimensions, "position": position, "layers": layers, "layout": layout, "showSlices": False}


def _dimension(scale: float, unit: str | None) -> list[JSON]:
    """Returns the size of a sample as the client has it: metres, or a number without unit."""
    metres = METRES.get(unit or "")
    return [abs(scale) * metres, "m"] if metres is not None else [abs(scale) or 1, ""]


def encoded(state: dict[str, JSON]) -> str:
    """Returns a state for the part of a URL behind `#!`."""
    return quote(json.dumps(state, allow_nan=False), safe="")
