"""Pictures in a terminal: two pixels in a character."""

from __future__ import annotations

from ziggurat.display.painting import Painted

_HALF, _LOWER = "\N{UPPER HALF BLOCK}", "\N{LOWER HALF BLOCK}"


def half_blocks(picture: Painted) -> str:
    """Returns a picture as lines of half blocks in 24-bit colour, two rows of pixels to a line; transparent pixels are left to the terminal."""
    n_rows, n_columns = picture.shape[:2]
    pixels = picture.tolist()
    nothing = [0, 0, 0, 0]
    lines = []
    for row in range(0, n_rows, 2):
        below = pixels[row + 1] if row + 1 < n_rows else [nothing] * n_columns
        parts, last = [], None
        for upper, lower in zip(pixels[row], below, strict=True):
            style, sign = _cell(upper, lower)
            if style != last:
                parts.append(style)
                last = style
            parts.append(sign)
        lines.append("".join(parts) + "\x1b[0m")
    return "\n".join(lines)


def _cell(upper: list[int], lower: list[int]) -> tuple[str, str]:
    """Returns how to set the colours of a character, and the character."""
    if not upper[3] and not lower[3]:
        return "\x1b[0m", " "
    if not lower[3]:
        return f"\x1b[0;38;2;{upper[0]};{upper[1]};{upper[2]}m", _HALF
    if not upper[3]:
        return f"\x1b[0;38;2;{lower[0]};{lower[1]};{lower[2]}m", _LOWER
    return f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]};48;2;{lower[0]};{lower[1]};{lower[2]}m", _HALF
