"""The pictures, each for light and for dark pages."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.figures import Figures
from bench.loads import MIXED, OTHER_SERVICE
from bench.run import USUAL

HERE = Path(__file__).parent
# Colours of the style files.
OURS, PEER = "C0", "C1"
COLOURS = {"Django's pool": PEER, "CONN_MAX_AGE=60": "C2", "CONN_MAX_AGE=0": "C3"}


def draw(figures: Figures, output: Path) -> list[str]:
    """Draw what the run has figures for below `output`. Return the names of the pictures."""
    pictures = {}
    if figures.raw["minute"]:
        pictures["minute"] = minute
    if figures.measured(MIXED):
        pictures["mixed"] = mixed
    for name, picture in pictures.items():
        for theme in ("light", "dark"):
            with mpl.rc_context(fname=HERE / f"{theme}.mplstyle"):
                # Without a date, and with constant ids: the same figures give the same file.
                picture(figures).savefig(output / f"{name}-{theme}.svg", metadata={"Date": None})
    return list(pictures)


def minute(figures: Figures) -> Figure:
    """Draw connections over time, and requests served in the same time, one below the other."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for name, run in figures.raw["minute"].items():
        worker_class, _, connections = name.partition(": ")
        style = {
            "label": name,
            "linestyle": "-" if worker_class == "gevent" else "--",
            "linewidth": 2.4 if connections.startswith("slots") else 1.4,
            "color": COLOURS.get(connections, OURS),
        }
        above.plot(*zip(*run["series"], strict=True), **style)
        below.plot([second + 0.5 for second in range(len(run["each_second"]))],
                   run["each_second"], **style)  # fmt: skip
    above.axhline(USUAL, linestyle=":", linewidth=1, color="C7")
    above.annotate(
        f"max_connections = {USUAL}, of which 3 are for superusers: beyond it, requests fail",
        (0, USUAL),
        xytext=(4, 3),
        textcoords="offset points",
    )
    above.set_title("Connections to PostgreSQL, open at the same time")
    above.set_ylabel("connections")
    below.set_title("Requests served in the same minute")
    below.set_ylabel("requests per second")
    below.set_xlabel("seconds; 100 clients, each request on a new TCP connection")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
    above.set_ylim(top=1.2 * USUAL)
    figure.legend(*below.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def mixed(figures: Figures) -> Figure:
    """Draw the requests served while each waits for another service, with the connections."""
    spreads = {name: figures.spread(name, MIXED) for name in figures.names}
    measured = {name: rates for name, rates in spreads.items() if rates}
    groups = [figures.raw["configurations"][name]["group"] for name in measured]
    # Only those of one worker class are compared, so there is space between the classes.
    rows = [row + 0.7 * len(set(groups[: row + 1])) for row in range(len(groups))]
    figure = Figure(figsize=(9, 0.28 * rows[-1] + 1.5), layout="constrained")
    axes = figure.subplots()
    ideal = MIXED.clients / OTHER_SERVICE
    for row, (name, rates) in zip(rows, measured.items(), strict=True):
        ours = name in figures.services
        axes.barh(row, rates.median, color=OURS if ours else PEER, height=0.7)
        text = f"{rates.median:.0f}/s on {figures.peak(name, MIXED)} connections"
        weight = "bold" if ours else "normal"
        axes.text(1.02 * ideal, row, text, va="center", fontweight=weight)
        axes.plot([rates.low, rates.high], [row, row], color="C7", linewidth=1)
    axes.axvline(ideal, linestyle=":", linewidth=1, color="C7")
    axes.set_yticks(rows, list(measured))
    axes.invert_yaxis()
    axes.set_xticks(range(0, round(ideal) + 1, 100))
    axes.set_xlim(0, 1.5 * ideal)  # room for the text
    axes.margins(y=0.01)
    axes.grid(axis="y", visible=False)
    axes.set_title("A query, 0.2 s of waiting for another service, a query")
    axes.set_xlabel(f"requests per second; 100 clients cannot get more than {ideal:.0f} (dotted)")
    return figure
