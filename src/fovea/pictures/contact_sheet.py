"""Rows of pictures on a white sheet, with titles and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from fovea.pictures.overlay import color_of
from fovea.pictures.svg import ticks

TILE = 160  # the side of a tile in pixels
_PAPER, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
_PADDING, _EMPTY = (214, 214, 214), (244, 244, 244)


@dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet."""

    label: str  # lines of text left of the pictures; those after the first are fainter
    panels: Mapping[str, np.ndarray]  # pictures by column title, uint8 RGB [h, w, 3] or gray [h, w] of any size
    classes: Sequence[str] = ()  # names of the classes from 1 on, for a legend of their colors
    pixel: float | None = None  # the width of a pixel of the pictures in mm, for a scale bar in the first


def ranked(scores: Mapping[str, float], count: int) -> list[str]:
    """Return at most `count` ids at even steps of their ranking, the lowest and the highest score included."""
    order = sorted(scores, key=lambda image_id: (scores[image_id], image_id))
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[place] for place in places]


def contact_sheet(rows: Sequence[SheetRow], tile: int | None = TILE) -> np.ndarray:
    """Lay out pictures in a table, with the columns of the row that has most of them, and a legend of the classes.

    A picture keeps its aspect ratio, and the rest of its tile is gray. A missing picture leaves its tile empty. `tile`
    is the side of a tile in pixels; None: pictures of native size, and tiles that fit the largest.
    """
    shapes = [picture.shape for row in rows for picture in row.panels.values()]
    high, wide = (tile or max(shape[axis] for shape in shapes) for axis in (0, 1))
    titles = max((list(row.panels) for row in rows), key=len)
    gap, height = max(2, min(high, wide) // 20), max(9, min(high, wide) / 11)
    line = round(1.5 * height)
    font, top = ImageFont.load_default(height), 2 * gap + line
    left = 2 * gap + round(max((font.getlength(text) for row in rows for text in row.label.splitlines()), default=0))
    width, bottom = left + gap + len(titles) * (wide + gap), top + len(rows) * (high + gap)
    legend = _legend(rows[0].classes, width, gap, height, font)
    sheet = Image.new("RGB", (width, bottom + legend.height), _PAPER)
    sheet.paste(legend, (0, bottom))
    pen = ImageDraw.Draw(sheet)
    columns = {title: left + gap + index * (wide + gap) for index, title in enumerate(titles)}
    for title, x in columns.items():
        pen.text((x + wide / 2, gap + line / 2), title, _INK, font, anchor="mm")
    for index, row in enumerate(rows):
        y, texts = top + index * (high + gap), row.label.splitlines()
        for place, text in enumerate(texts):
            middle = y + high / 2 + (place - (len(texts) - 1) / 2) * line
            pen.text((gap, middle), text, _FAINT if place else _INK, font, anchor="lm")
        for title, x in columns.items():
            picture = _fit(row.panels.get(title), wide, high, tile is None)
            sheet.paste(picture, (x + (wide - picture.width) // 2, y + (high - picture.height) // 2))
        if row.pixel:
            shape = next(iter(row.panels.values())).shape
            zoom = min(wide / shape[1], high / shape[0]) if tile else 1.0
            corner = left + gap + (wide - shape[1] * zoom) / 2, y + (high + shape[0] * zoom) / 2
            _scale_bar(pen, corner, shape[1] * zoom, row.pixel / zoom, font)
    return np.array(sheet)


def _legend(classes: Sequence[str], width: int, margin: float, height: float, font: Any) -> Image.Image:
    """Return a strip with the color and the name of each class from 1 on, in as many lines as they need."""
    places: list[tuple[float, int]] = []
    x, row, line = margin, 0, round(1.5 * height)
    for name in classes:
        wide = font.getlength(name) + 3 * font.getlength("m")
        if x + wide > width - margin and x > margin:
            x, row = margin, row + 1
        places.append((x, row))
        x += wide
    strip = Image.new("RGB", (width, line * (row + 1) if classes else 0), _PAPER)
    pen = ImageDraw.Draw(strip)
    for label, (name, (x, row)) in enumerate(zip(classes, places, strict=True), start=1):
        middle = (row + 0.5) * line
        pen.rectangle((x, middle - height / 2, x + height, middle + height / 2), color_of(label))
        pen.text((x + 1.5 * height, middle), name, _INK, font, anchor="lm")
    return strip


def with_legend(picture: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return a picture, uint8 RGB [H, W, 3], above a legend of the classes from 1 on; several classes only."""
    if len(classes) < 2:
        return picture
    height = max(9, min(picture.shape[:2]) / 30)
    font = ImageFont.load_default(height)
    width = max(picture.shape[1], round(max(map(font.getlength, classes)) + 2.5 * height))
    legend = _legend(classes, width, height / 2, height, font)
    sheet = Image.new("RGB", (width, picture.shape[0] + legend.height), _PAPER)
    sheet.paste(Image.fromarray(picture))
    sheet.paste(legend, (0, picture.shape[0]))
    return np.array(sheet)


def _fit(picture: np.ndarray | None, wide: int, high: int, native: bool) -> Image.Image:
    if picture is None:
        return Image.new("RGB", (wide, high), _EMPTY)
    image = Image.fromarray(picture).convert("RGB")
    return image if native else ImageOps.pad(image, (wide, high), Image.Resampling.LANCZOS, color=_PADDING)


def _scale_bar(pen: ImageDraw.ImageDraw, corner: tuple[float, float], width: float, pixel: float, font: Any) -> None:
    """Draw a bar of a round length, a sixth to half of a picture, over its lower left corner."""
    length = ticks(0, width * pixel / 2, 3)[1]
    margin, thick = width / 20, max(2, width / 50)
    x, y = corner[0] + margin, corner[1] - margin
    pen.rectangle((x, y - thick, x + length / pixel, y), _PAPER, _INK)
    place = (x, y - 1.5 * thick)
    pen.text(place, f"{length:g} mm", _PAPER, font, anchor="lb", stroke_width=round(thick / 2), stroke_fill=_INK)
