"""Elements of SVG charts. The style sheet of the page gives colors and type; all text is escaped."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# Only for a chart in a file of its own: a page has its own style sheet. Colors of Okabe and Ito, without yellow.
_COLORS = ("#0072b2", "#c05000", "#00795a", "#a04f8c", "#9a6700", "#3f9fd8", "#5b6470", "#1b1f24")
_STYLE = (
    "text{font:13px sans-serif;fill:#1b1f24} .tick{font-size:12px} .paper{fill:#fff} .bar{fill:#0072b2} "
    ".grid{stroke:#d9dde3} .axis{stroke:#5b6470} .mean,.run,.spread{fill:none;stroke:currentColor} "
    ".mean,.spread{stroke-width:2} .run{opacity:.5} .dot,circle.mean,circle.run{fill:currentColor} "
    ".d1 .mean{stroke-dasharray:7 4} .d2 .mean{stroke-dasharray:2 3}"
) + "".join(f" .s{place}{{color:{color}}}" for place, color in enumerate(_COLORS))


@dataclass(frozen=True)
class Axis:
    """From values (`low` to `high`) to pixels (`start` to `end`)."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def tag(name: str, css: str = "", inside: str = "", title: str = "", **attributes: float | str) -> str:
    """Return an SVG element of the CSS class `css`. The title and attributes are escaped, `inside` is not."""
    values = {**({"class": css} if css else {}), **attributes}
    texts = {key: f"{value:.1f}" if isinstance(value, float) else str(value) for key, value in values.items()}
    shown = "".join(f' {key.replace("_", "-")}="{escape(text)}"' for key, text in texts.items())
    return f"<{name}{shown}>{inside}{f'<title>{escape(title)}</title>' if title else ''}</{name}>"


def line(css: str, x1: float, x2: float, y1: float, y2: float) -> str:
    """Return a straight line."""
    return tag("line", css, x1=float(x1), x2=float(x2), y1=float(y1), y2=float(y2))


def dot(css: str, x: float, y: float, radius: float, title: str = "") -> str:
    """Return a circle."""
    return tag("circle", css, title=title, cx=float(x), cy=float(y), r=radius)


def text(content: object, x: float, y: float, anchor: str = "middle", css: str = "") -> str:
    """Return a line of text."""
    return tag("text", css, escape(str(content)), x=float(x), y=float(y), text_anchor=anchor)


def svg(width: float, height: float, parts: Iterable[str], label: str, css: str = "") -> str:
    """Return a chart with a label for screen readers."""
    return tag("svg", css, "".join(parts), viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def alone(chart: str, width: int, height: int, names: Sequence[tuple[str, str]] = ()) -> str:
    """Return a chart of this size as an SVG file that needs no page: colors, type, and below it a legend.

    `names` has a text and the CSS classes of its color and dashes for each line.
    """
    parts = [tag("style", inside=_STYLE), tag("rect", "paper", width="100%", height="100%")]
    parts.append(chart.replace("<svg", f'<svg width="{width}" height="{height}"', 1))
    for row, (name, css) in enumerate(names):
        sample = tag("line", "mean", x2=26, y1=-4, y2=-4) + text(name, 36, 0, "start")
        parts.append(tag("g", css, sample, transform=f"translate(62 {height + 10 + 20 * row})"))
    whole = svg(width, height + 20 * len(names), parts, "")
    return whole.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + "\n"


def pdf(chart: str) -> bytes:
    """Return an SVG file as a PDF of its size, with its fonts; ValueError without the package typst."""
    try:
        import typst
    except ImportError as error:
        raise ValueError("charts as PDF need typst; install it with `make pdf`") from error
    page = '#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.chart), format: "svg")'
    content: bytes = typst.compile(f"#set document(date: none)\n{page}".encode(), sys_inputs={"chart": chart})
    return content


def points(x: Axis, y: Axis, across: Iterable[float], up: Iterable[float]) -> str:
    """Return the points of a polyline or polygon."""
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(across, up, strict=True))


def span(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """Return the ends of an axis that has all finite values, with a margin; [0, 1] without any."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = (high - low) * margin or abs(low) * 0.1 or 0.1
    return low - room, high + room


def round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    step = round_up((high - low) / most)
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def frame(x: Axis, y: Axis, x_name: str, y_name: str, x_ticks: Sequence[float] | None = None) -> str:
    """Draw grid lines, their numbers (at `x_ticks`, or at round values), and the names of the axes."""
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(line("grid", x.start, x.end, y(value), y(value)))
        parts.append(text(f"{value:g}", x.start - 8, y(value) + 4, "end", "tick"))
    last = -math.inf
    for value in ticks(x.low, x.high) if x_ticks is None else x_ticks:
        if x(value) - last >= 38:  # closer numbers would overlap
            last = x(value)
            parts.append(line("axis", last, last, y.start, y.start + 5))
            parts.append(text(f"{value:g}", last, y.start + 19, css="tick"))
    parts.append(line("axis", x.start, x.end, y.start, y.start))
    parts.append(text(x_name, (x.start + x.end) / 2, y.start + 40, css="name"))
    place = f"translate(14 {(y.start + y.end) / 2:g}) rotate(-90)"
    parts.append(tag("text", "name", escape(y_name), transform=place, text_anchor="middle"))
    return "".join(parts)
