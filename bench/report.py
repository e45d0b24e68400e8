"""The report: its pages, and the part of the README that they fill."""

from pathlib import Path
from typing import Any

import jinja2

from bench import pictures
from bench.figures import Figures, Spread, is_whole
from bench.loads import LOADS, VIEWS, Load
from bench.run import ROOMY, SLOT_TIMEOUTS, USUAL
from bench.targets import judge

BEGIN, END = "<!-- benchmark: written by `python -m bench` -->", "<!-- benchmark: end -->"
# The packages whose releases the page names.
RELEASES = (
    *("Python", "django", "gunicorn", "uvicorn", "granian", "uvloop", "gevent", "eventlet"),
    *("psycopg2-binary", "psycopg", "psycopg-pool", "psycogreen"),
    *("django-db-geventpool", "django-db-connection-pool", "sqlalchemy"),
)
# The rows of the README's table: the service, and what most people would set in its place.
SHOWN = [
    f"{worker_class}: {connections}"
    for worker_class in ("gevent", "asgi")
    for connections in ("slots, psycopg2", "Django's pool", "CONN_MAX_AGE=60")
]


def write(raw: dict[str, Any], output: Path, readme: Path | None) -> None:
    """Write all files of the report below `output`, and the README's part where one is given."""
    figures = Figures(raw)
    templates = jinja2.Environment(  # noqa: S701 - it writes Markdown
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"cell": cell, "number": number, "rate": rate, "spread": spread}
    templates.globals |= {
        "figures": figures,
        "raw": raw,
        "whole": is_whole(raw),
        "drawn": pictures.draw(figures, output),
        "targets": judge(figures),
        "loads": LOADS,
        "views": VIEWS,
        "load": Load,
        "shown": [name for name in SHOWN if name in figures.names],
        "releases": releases(figures),
        "timeouts": SLOT_TIMEOUTS,
        "roomy": ROOMY,
        "usual": USUAL,
    }
    for name in ("README.md", "loads.md"):
        (output / name).write_text(templates.get_template(f"{name}.jinja").render())
    if readme is not None:
        before, begin, rest = readme.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        part = templates.get_template("summary.md.jinja").render()
        if begin and end:
            readme.write_text(f"{before}{BEGIN}\n{part}{END}{after}")


def releases(figures: Figures) -> dict[str, str]:
    """Return the releases of RELEASES, all of them where configurations differ."""
    noted = [each["versions"] for each in figures.raw["configurations"].values()]
    found = {
        name: ", ".join(sorted({versions[name] for versions in noted if name in versions}))
        for name in RELEASES
    }
    return {name: versions for name, versions in found.items() if versions}


def cell(figures: Figures, name: str, load: Load) -> str:
    """Return requests per second and the connections that were open, or nothing."""
    measured = rate(figures, name, load)
    return f"{measured} on {figures.peak(name, load)}" if measured else ""


def rate(figures: Figures, name: str, load: Load) -> str:
    """Return the median of requests per second, or nothing."""
    rates = figures.spread(name, load)
    return number(rates.median) if rates else ""


def number(value: float | None) -> str:
    """Return `value` with as many digits as mean something, or a dash."""
    if value is None:
        return "-"
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 0.1 else f"{value:.3g}"


def spread(values: Spread) -> str:
    """Return the median, and the range where there is one."""
    if values.low == values.high:
        return number(values.median)
    return f"{number(values.median)} ({number(values.low)} to {number(values.high)})"
