"""Pictures in rows and columns on a white sheet, with titles and labels."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

_PAPER, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
_PADDING, _EMPTY = (214, 214, 214), (244, 244, 244)
_RESAMPLE = Image.Resampling.LANCZOS


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]], titles: Sequence[str], labels: Sequence[str], tile: int = 160
) -> np.ndarray:
    """Lay out pictures in a table.

    Each keeps its aspect ratio; what is left of its square is grey, and a missing one leaves the square empty.

    Args:
        rows: for each row one picture a column, uint8 RGB [h, w, 3] or grey [h, w] of any size, or None.
        titles: one a column.
        labels: one a row, of one or more lines; the lines after the first are printed fainter.
        tile: side of a square in pixels.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        ValueError: the rows do not fit the titles or the labels.
    """
    if len(rows) != len(labels) or any(len(row) != len(titles) for row in rows):
        raise ValueError(
            f"{len(labels)} labels and {len(titles)} titles do not fit rows of {[len(row) for row in rows]}"
        )
    gap, height, line, top = _measures(tile)
    font = ImageFont.load_default(height)
    left = 2 * gap + round(max((font.getlength(text) for label in labels for text in label.splitlines()), default=0))
    size = (left + gap + len(titles) * (tile + gap), top + len(rows) * (tile + gap))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    columns = [left + gap + index * (tile + gap) for index in range(len(titles))]
    for x, title in zip(columns, titles, strict=True):
        pen.text((x + tile / 2, gap + line / 2), title, _INK, font, anchor="mm")
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        y = top + index * (tile + gap)
        _write_label(pen, (gap, y + tile / 2), label, font, line)
        for x, picture in zip(columns, row, strict=True):
            sheet.paste(_fit(picture, tile), (x, y))
    return np.array(sheet)


def rows_of_sheet(sheet: np.ndarray, tile: int = 160) -> list[np.ndarray]:
    """The rows of a sheet, each with the titles above it.

    Args:
        sheet: uint8 RGB [H, W, 3] of `contact_sheet`; of another picture there are no rows.
        tile: the side that it was made with.

    Returns:
        uint8 RGB [h, W, 3], from the first row on.
    """
    gap, _, _, top = _measures(tile)
    count, rest = divmod(len(sheet) - top, tile + gap)
    if rest:
        return []
    places = [top + index * (tile + gap) for index in range(count)]
    return [np.concatenate([sheet[:top], sheet[place : place + tile + gap]]) for place in places]


def _measures(tile: int) -> tuple[int, float, int, int]:
    """The gap between squares, the height of the type, that of a line, and that of all above the first row."""
    gap, height = max(2, tile // 20), max(9, tile / 11)
    line = round(1.5 * height)
    return gap, height, line, 2 * gap + line


def _write_label(
    pen: ImageDraw.ImageDraw,
    middle: tuple[float, float],
    label: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
) -> None:
    texts = label.splitlines()
    for index, text in enumerate(texts):
        y = middle[1] + (index - (len(texts) - 1) / 2) * line
        pen.text((middle[0], y), text, _FAINT if index else _INK, font, anchor="lm")


def _fit(picture: np.ndarray | None, tile: int) -> Image.Image:
    if picture is None:
        return Image.new("RGB", (tile, tile), _EMPTY)
    return ImageOps.pad(Image.fromarray(picture).convert("RGB"), (tile, tile), _RESAMPLE, _PADDING)
