"""What the HTML pages share: how a template is filled and how a picture gets into one file with it."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image


def render(template: str, content: Mapping[str, object]) -> str:
    """Fill a template of this folder; whatever comes from outside is escaped, and a missing name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only who writes a page waits for it

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(content)


def data_uri(image: Image.Image, side: int) -> str:
    """A picture, no larger than `side` in pixels either way, as a JPEG that stands in the page itself."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
