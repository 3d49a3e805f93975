"""Rows of pictures on a white sheet, with titles and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from fovea.pictures.overlay import color_of

TILE = 160
"""The side of a tile in pixels."""

_PAPER, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
_PADDING, _EMPTY = (214, 214, 214), (244, 244, 244)


@dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet.

    Args:
        label: Lines of text left of the pictures; those after the first are fainter.
        panels: Pictures by column title, uint8 RGB [h, w, 3] or gray [h, w] of any size.
        classes: Names of the classes from 1 on, for a legend of their colors.
    """

    label: str
    panels: Mapping[str, np.ndarray]
    classes: Sequence[str] = ()


def ranked(scores: Mapping[str, float], count: int) -> list[str]:
    """Return at most `count` ids at even steps of their ranking, the lowest and the highest score included."""
    order = sorted(scores, key=lambda image_id: (scores[image_id], image_id))
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[place] for place in places]


def contact_sheet(rows: Sequence[SheetRow], tile: int = TILE) -> np.ndarray:
    """Lay out pictures in a table, with the columns of the row that has most of them, and a legend of the classes.

    A picture keeps its aspect ratio, and the rest of its tile is gray. A missing picture leaves its tile empty.

    Args:
        rows: From top to bottom, at least one.
        tile: The side of a tile in pixels.
    """
    titles = max((list(row.panels) for row in rows), key=len)
    gap, height = max(2, tile // 20), max(9, tile / 11)
    line = round(1.5 * height)
    font, top = ImageFont.load_default(height), 2 * gap + line
    left = 2 * gap + round(max((font.getlength(text) for row in rows for text in row.label.splitlines()), default=0))
    width, bottom = left + gap + len(titles) * (tile + gap), top + len(rows) * (tile + gap)
    legend = _legend(rows[0].classes, gap, width - gap, font)
    sheet = Image.new("RGB", (width, bottom + line * (1 + legend[-1][2] if legend else 0)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for label, (name, x, place) in enumerate(legend, start=1):
        middle = bottom + (place + 0.5) * line
        pen.rectangle((x, middle - height / 2, x + height, middle + height / 2), color_of(label))
        pen.text((x + 1.5 * height, middle), name, _INK, font, anchor="lm")
    columns = {title: left + gap + index * (tile + gap) for index, title in enumerate(titles)}
    for title, x in columns.items():
        pen.text((x + tile / 2, gap + line / 2), title, _INK, font, anchor="mm")
    for index, row in enumerate(rows):
        y, texts = top + index * (tile + gap), row.label.splitlines()
        for place, text in enumerate(texts):
            middle = y + tile / 2 + (place - (len(texts) - 1) / 2) * line
            pen.text((gap, middle), text, _FAINT if place else _INK, font, anchor="lm")
        for title, x in columns.items():
            sheet.paste(_fit(row.panels.get(title), tile), (x, y))
    return np.array(sheet)


def _legend(classes: Sequence[str], left: float, right: float, font: Any) -> list[tuple[str, float, int]]:
    """Return the name, the x and the line of each entry."""
    entries: list[tuple[str, float, int]] = []
    x, place = left, 0
    for name in classes:
        width = font.getlength(name) + 3 * font.getlength("m")
        if x + width > right and x > left:
            x, place = left, place + 1
        entries.append((name, x, place))
        x += width
    return entries


def _fit(picture: np.ndarray | None, tile: int) -> Image.Image:
    if picture is None:
        return Image.new("RGB", (tile, tile), _EMPTY)
    return ImageOps.pad(Image.fromarray(picture).convert("RGB"), (tile, tile), Image.Resampling.LANCZOS, color=_PADDING)
