"""The bench measures real services, counts what it reports, and names what it could not do."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree

import pytest

from baking.combinations import ROOT
from bench import load, plan, report, run
from bench.analysis import Figures, Spread, knee
from bench.configurations import BOUND, django
from bench.load import Load
from bench.meters import Spent
from bench.targets import RATIOS, _at_least

pytestmark = pytest.mark.xdist_group("bench")
MEASURED = ("gevent: slots, psycopg2", "gevent: CONN_MAX_AGE=60")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output directory of a quick run of a service and of one peer."""
    output = tmp_path_factory.mktemp("bench")
    only = "^gevent: (slots, psycopg2|CONN_MAX_AGE=60)$"
    done = bench("--quick", "--only", only, "--output", str(output), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == json.loads((output / "figures.json").read_text())
    return output


@pytest.mark.slow
def test_quick_run_measures_service_and_peer(quick: Path) -> None:
    figures = json.loads((quick / "figures.json").read_text())
    assert set(figures["configurations"]) == set(MEASURED)
    for name in MEASURED:
        runs = [each for each in figures["runs"] if each["configuration"] == name]
        assert len(runs) == len(plan.QUICK.loads)
        for each in runs:
            assert each["requests"] > 0
            assert each["samples"] > 5
            assert each["cpu_gunicorn"] > 0
            assert each["memory"] > 10
    service = [each for each in figures["runs"] if each["configuration"] == MEASURED[0]]
    assert 0 < max(each["peak"] for each in service) <= BOUND
    assert not any(each["failed"] for each in service)
    leak = figures["over_time"][MEASURED[1]]
    assert leak["opened"] > BOUND


@pytest.mark.slow
def test_report_has_tables_and_pictures(quick: Path) -> None:
    page = (quick / "README.md").read_text()
    assert "not a whole run" in page
    assert "| gevent, psycopg2 / Django's pool" not in page  # it was not measured
    for name in MEASURED:
        assert name in page
    pictures = sorted(quick.glob("*.svg"))
    assert [picture.stem for picture in pictures] == [
        f"{name}-{theme}"
        for name in ("connections", "slots", "throughput")
        for theme in ("dark", "light")
    ]
    for picture in pictures:
        ElementTree.parse(picture)  # noqa: S314


@pytest.mark.slow
def test_report_is_reproducible(quick: Path) -> None:
    before = {path.name: path.read_bytes() for path in quick.iterdir()}
    assert bench("--report", "--output", str(quick)).returncode == 0
    assert {path.name: path.read_bytes() for path in quick.iterdir()} == before


@pytest.mark.slow
def test_failed_configuration_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = django("sync", 60)
    missing = replace(there, name="missing", requirements=("no-such-distribution-of-ours",))
    broken = replace(there, name="broken", environment={"BENCH_WORKER": "no_such_worker"})
    monkeypatch.setattr(run, "CONFIGURATIONS", [missing, broken, there])
    tmp_path.chmod(0o755)
    measured = run.Bench(replace(plan.QUICK, loads=(plan.MAIN,), over_time=1), tmp_path)
    measured.run()
    assert set(measured.figures["failed"]) == {"missing", "broken"}
    assert "no-such-distribution-of-ours" in measured.figures["failed"]["missing"]
    assert "no_such_worker" in measured.figures["failed"]["broken"]
    assert [each["configuration"] for each in measured.figures["runs"]] == [there.name]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--rounds", "0"], 2, "--rounds has to be at least 1"),
        (["--only", "no such"], 1, "see --list"),
        (["--only", "("], 1, "no regular expression"),
        (["--report", "--output", "/nonexistent"], 1, "run the bench without --report"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], code: int, message: str) -> None:
    done = bench(*arguments)
    assert done.returncode == code
    assert message in done.stderr


@contextmanager
def answering(
    status: int, *, with_length: bool = True, stall: float = 0.0
) -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of a server that gives every request this status, and the requested paths.

    The tenth answer takes `stall` seconds.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            time.sleep(stall if len(asked) == 10 else 0)
            self.send_response(status)
            if with_length:
                self.send_header("Content-Length", "2")
            else:
                self.close_connection = True
            if self.headers.get("Connection") == "close":
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *arguments: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("program", ["wrk", None])
def test_generator_counts_answers_and_failures(
    program: str | None, keep_alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program and not shutil.which(program):
        pytest.skip("wrk is not installed")
    monkeypatch.setattr("bench.load.shutil.which", lambda name: program)
    clients = 4  # as many may still wait for their answer at the end
    with answering(200) as (url, asked):
        good = load.apply(url, Load("query", clients, keep_alive), 1)
        assert 0 < good.requests <= len(asked)
    assert not good.failed
    assert 0 < good.p50 <= good.p95 <= good.p99
    with answering(503) as (url, asked):
        bad = load.apply(url, Load("query", clients, keep_alive), 1)
        assert 0 < len(asked) - clients <= bad.failed["status"] <= len(asked)
    assert bad.requests == 0
    # The one in Python says what it could offer of what it should have.
    assert (good.offered is None) == (program is not None)
    if good.offered and good.wanted:
        assert good.offered <= 1.1 * good.wanted


def test_error_without_length_is_a_failure() -> None:
    with answering(500, with_length=False) as (url, asked):
        tally = asyncio.run(load._ask(url, Load("query", 4, True), 0.5, rate=None))
    assert tally.answered == 0
    assert 0 < tally.failed["status"] <= len(asked)


def test_latency_counts_from_the_due_time() -> None:
    """One client, one stall: requests that were due during the stall have waited as well."""
    with answering(200, stall=0.5) as (url, _):
        tally = asyncio.run(load._ask(url, Load("query", 1, True), 1.0, rate=50))
    assert sum(latency > 0.1 for latency in tally.latencies) > 1


def test_busiest_worker_is_found() -> None:
    before = Spent(1.0, 1.0, {1: 5.0, 2: 1.0})
    assert Spent(2.0, 1.0, {1: 5.1, 2: 2.9}).since(before).busiest == pytest.approx(0.95)
    assert Spent(2.0, 1.0, {1: 6.0, 2: 2.0}).since(before).busiest == pytest.approx(0.5)


@pytest.mark.slow
def test_readme_keeps_its_other_parts(quick: Path, tmp_path: Path) -> None:
    readme = tmp_path / "other" / "README.md"
    readme.parent.mkdir()
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    figures = json.loads((quick / "figures.json").read_text())
    report.write(figures, tmp_path, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n<picture>")
    assert text.endswith(f"\n{report.END}\nafter\n")
    assert "docs/benchmarks/README.md" in text
    readme.write_text("no part of the bench's\n")
    report.write(figures, tmp_path, readme)
    assert readme.read_text() == "no part of the bench's\n"


@pytest.mark.parametrize(("rate", "met"), [(140.0, True), (139.0, False)])
def test_target_is_judged_by_the_median(rate: float, met: bool) -> None:
    theirs = [("gevent: Django's pool", number, 100.0, False) for number in (1, 2, 3)]
    ours = [("gevent: slots, psycopg2", n, r, False) for n, r in enumerate((1.0, rate, 999.0), 1)]
    found = RATIOS[0]
    measured = figures_of(*theirs, *ours).ratio(found[1], found[2], plan.MAIN, "rate")
    assert measured is not None
    assert _at_least(found[0], measured, found[4]).met is met


def figures_of(*rates: tuple[str, int, float, bool]) -> Figures:
    return Figures(
        {
            "runs": [
                {
                    "configuration": name,
                    "round": number,
                    "rate": rate,
                    "lopsided": lopsided,
                    "repeated": False,
                    "view": "query",
                    "clients": 100,
                    "keep_alive": True,
                }
                for name, number, rate, lopsided in rates
            ]
        }
    )


def test_ratios_are_taken_within_a_round() -> None:
    rates = [("a", 1, 10.0, False), ("b", 1, 5.0, False), ("a", 2, 90.0, False)]
    figures = figures_of(*rates, ("b", 2, 30.0, False), ("a", 3, 1.0, False))
    assert figures.ratio("a", "b", plan.MAIN, "rate") == Spread(2.5, 2.0, 3.0)


def test_lopsided_run_is_left_out() -> None:
    figures = figures_of(("a", 1, 10.0, True), ("a", 2, 20.0, False))
    assert figures.spread("a", plan.MAIN, "rate") == Spread(20.0, 20.0, 20.0)
    assert figures_of(("a", 1, 10.0, True)).spread("a", plan.MAIN, "rate") is not None


def test_knee_is_fewest_slots_near_the_best() -> None:
    rates = {1: 100.0, 2: 190.0, 5: 390.0, 10: 400.0, 20: 395.0}
    assert knee({slots: Spread.of([rate]) for slots, rate in rates.items()}) == 5
