"""Fill templates of HTML and Markdown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def render(template: Path, content: Mapping[str, Any], autoescape: bool = True, **filters: Callable[..., str]) -> str:
    """Fill a template of Jinja, with further filters by name; a missing name in `content` is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(content)
