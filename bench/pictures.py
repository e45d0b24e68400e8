"""Pictures of the figures, each drawn for light and for dark pages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.analysis import Figures, is_service, knee
from bench.plan import MAIN

THEMES = {
    "light": {"ink": "#1f2328", "faint": "#d1d9e0", "paper": "#ffffff"},
    "dark": {"ink": "#f0f6fc", "faint": "#3d444d", "paper": "#0d1117"},
}
OURS = {"light": "#0a6e4f", "dark": "#3fcf9b"}
# Okabe and Ito's colours, which colour-blind readers tell apart too.
OTHERS = ("#d55e00", "#cc79a7", "#0072b2", "#e69f00", "#56b4e9", "#999999", "#b59a00", "#8f6fd1")
WIDTH = 9.0  # inches

Picture = Callable[[Figures, str], Figure | None]


def draw(figures: Figures, output: Path) -> list[str]:
    """Write the pictures that there are figures for; their names."""
    drawn = []
    for name, picture in PICTURES.items():
        for theme in THEMES:
            with _style(theme):
                figure = picture(figures, theme)
                if figure is None:
                    break
                # Without a date, and with fixed names, the same figures give the same file.
                figure.savefig(output / f"{name}-{theme}.svg", metadata={"Date": None})
        else:
            drawn.append(name)
    return drawn


@contextmanager
def _style(theme: str) -> Iterator[None]:
    colours = THEMES[theme]
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bench",
            "font.family": "sans-serif",
            "font.size": 10,
            "figure.facecolor": colours["paper"],
            "axes.facecolor": colours["paper"],
            "savefig.facecolor": colours["paper"],
            "axes.edgecolor": colours["faint"],
            "axes.labelcolor": colours["ink"],
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": colours["faint"],
            "grid.linewidth": 0.6,
            "text.color": colours["ink"],
            "xtick.color": colours["ink"],
            "ytick.color": colours["ink"],
            "figure.constrained_layout.use": True,
        }
    ):
        yield


def connections(figures: Figures, theme: str) -> Figure | None:
    """Open connections over time, each line named at its end."""
    noted = figures.raw["over_time"]
    if not noted:
        return None
    figure = Figure(figsize=(WIDTH, 4.6))
    axes = figure.add_subplot()
    limit = max(each["max_connections"] for each in noted.values())
    axes.axhline(limit, color=THEMES[theme]["ink"], linestyle="--", linewidth=1)
    axes.annotate(f"max_connections = {limit}", (0, limit), xytext=(4, 4),
                  textcoords="offset points")  # fmt: skip
    others = iter(OTHERS * 2)
    labels = []
    for name, each in sorted(noted.items(), key=lambda item: is_service(item[0])):
        times, counts = zip(*each["series"], strict=True)
        colour = OURS[theme] if is_service(name) else next(others)
        axes.step(times, counts, color=colour, linewidth=2.6 if is_service(name) else 1.2,
                  linestyle=":" if name.startswith("asgi: slots") else "-")  # fmt: skip
        failed = sum(each["failed"].values())
        text = f"{name} ({failed:,} failed)" if failed else name
        labels.append((counts[-1], max(counts), text, colour))
    last = max(each["series"][-1][0] for each in noted.values())
    _label_ends(axes, last, labels, gap=limit * 0.062)
    axes.set_xlim(0, last)
    axes.set_ylim(0, limit * 1.1)
    axes.set_xlabel("seconds, every request on a new TCP connection")
    axes.set_ylabel("open connections")
    return figure


def _label_ends(axes: Any, x: float, labels: list[tuple[int, int, str, str]], gap: float) -> None:
    """Names to the right of the lines' ends, apart from one another."""
    floor = 0.0
    for height, _, text, colour in sorted(labels):
        floor = max(height, floor)
        axes.annotate(
            text,
            (x, height),
            xytext=(1.03, floor),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontweight="bold" if is_service(text) else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 1.0,
                "shrinkA": 0,
                "relpos": (0, 0.5),  # to the left of the name, not through it
            },
            annotation_clip=False,
        )
        floor += gap


def throughput(figures: Figures, theme: str) -> Figure | None:
    """Two bars for each configuration: what it served, and its slowest percent."""
    rows = [
        (name, rate, p99)
        for name in figures.raw["configurations"]
        if (rate := figures.spread(name, MAIN, "rate"))
        and (p99 := figures.spread(name, MAIN, "p99"))
    ]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 1.2 + 0.27 * len(rows)))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [name for name, _, _ in rows]
    colours = [OURS[theme] if is_service(name) else OTHERS[5] for name in names]
    for axes, spreads, label in (
        (left, [rate for _, rate, _ in rows], "requests per second"),
        (right, [p99 for _, _, p99 in rows], "p99, milliseconds (logarithmic)"),
    ):
        middle = [spread.median for spread in spreads]
        reach = [
            [spread.median - spread.low for spread in spreads],
            [spread.high - spread.median for spread in spreads],
        ]
        axes.barh(names, middle, color=colours, height=0.7)
        axes.errorbar(middle, names, xerr=reach, fmt="none", ecolor=THEMES[theme]["ink"],
                      elinewidth=0.8, capsize=2)  # fmt: skip
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
    right.set_xscale("log")
    right.set_xlim(left=1)
    right.xaxis.set_major_formatter("{x:g}")
    left.invert_yaxis()
    return figure


def slots(figures: Figures, theme: str) -> Figure | None:
    """Throughput over slots per worker, with the knee of each line."""
    views = {"query": "a quick query", "slow": "a query of 50 ms"}
    lines = [
        (f"{worker_class}, {views[view]}", sweep)
        for view in views
        for worker_class in ("gevent", "asgi")
        if (sweep := figures.sweep(worker_class, view))
    ]
    if not lines:
        return None
    figure = Figure(figsize=(WIDTH, 4.2))
    axes = figure.add_subplot()
    for (name, sweep), colour in zip(lines, (OURS[theme], *OTHERS), strict=False):
        counts = list(sweep)
        axes.plot(counts, [sweep[n].median for n in counts], marker="o", markersize=4,
                  color=colour, label=name)  # fmt: skip
        axes.fill_between(counts, [sweep[n].low for n in counts], [sweep[n].high for n in counts],
                          color=colour, alpha=0.15, linewidth=0)  # fmt: skip
        if (at := knee(sweep)) == max(sweep):
            continue  # none is in sight
        axes.plot([at], [sweep[at].median], marker="o", markersize=11, markerfacecolor="none",
                  markeredgecolor=colour, markeredgewidth=1.5)  # fmt: skip
        axes.annotate(f"knee: {at}", (at, sweep[at].median), xytext=(6, 9),
                      textcoords="offset points")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("slots per worker (logarithmic)")
    axes.set_ylabel("requests per second")
    axes.legend(frameon=False)
    return figure


PICTURES: dict[str, Picture] = {
    "connections": connections,
    "throughput": throughput,
    "slots": slots,
}
