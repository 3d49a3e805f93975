"""Fill HTML templates, and embed pictures in a page."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from fovea.report.comparison import interval_text, p_text


def render(template: str, content: Mapping[str, object]) -> str:
    """Fill a template of this folder; all text is escaped, and a missing name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"interval": interval_text, "p": p_text}
    return environment.get_template(template).render(content)


def data_uri(image: Image.Image, side: int) -> str:
    """Return a picture, at most `side` pixels wide and high, as a JPEG in a data URI."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
