"""The bench measures real services, counts what it reports, and names what it could not do."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from baking.combinations import ROOT
from bench import loads, overload, report, run
from bench.configurations import CONFIGURATIONS, SLOTS, WORKERS, configuration
from bench.figures import Figures, Spread, is_whole, read
from bench.loads import DB, LOADS, MIXED, Load, is_measured
from bench.meters import Spent
from bench.targets import Target, judge

pytestmark = pytest.mark.xdist_group("bench")
SERVICE, PEER = "gevent: slots, psycopg2", "gevent: Django's pool"
BOUND = WORKERS * SLOTS
BEST = ("Django's pool", "django-db-geventpool", "SQLAlchemy's pool", "PgBouncer")


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=500, env=environment or None
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output directory of a quick run of a service and of one peer."""
    output = tmp_path_factory.mktemp("bench")
    done = bench("--quick", "--only", f"^({SERVICE}|{PEER})$", "--output", str(output), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == json.loads((output / "figures.json").read_text())
    return output


@pytest.mark.slow
def test_quick_run_measures_service_and_peer(quick: Path) -> None:
    figures = json.loads((quick / "figures.json").read_text())
    assert set(figures["configurations"]) == {SERVICE, PEER}
    for each in figures["runs"]:
        assert each["requests"] > 0
        assert 0 < each["peak"] <= BOUND
        assert each["samples"] > 5
        assert each["cpu_application"] > 0
        assert each["memory"] > 10
        assert not each["failed"]
    rates = {(each["configuration"], each["view"]): each["rate"] for each in figures["runs"]}
    assert rates[SERVICE, "mixed"] > 1.3 * rates[PEER, "mixed"]  # the reason for slots
    short = next(each for each in figures["overload"] if each["timeout"] == run.SLOT_TIMEOUTS[0])
    assert set(short["statuses"]) == {"200", "503"}
    assert set(figures["minute"]) == {SERVICE, PEER}


@pytest.mark.slow
def test_report_has_tables_and_pictures(quick: Path) -> None:
    page = (quick / "README.md").read_text()
    assert "not a whole run" in page
    assert "django-db-geventpool, p99" not in page  # it was not measured
    assert f"**{SERVICE}**" in page
    assert f"| {PEER} |" in page
    pictures = sorted(quick.glob("*.svg"))
    names = ["minute-dark", "minute-light", "mixed-dark", "mixed-light"]
    assert [picture.stem for picture in pictures] == names
    for picture in pictures:
        ElementTree.parse(picture)  # noqa: S314


@pytest.mark.slow
def test_report_is_reproducible(quick: Path) -> None:
    before = {path.name: path.read_bytes() for path in quick.iterdir()}
    assert bench("--report", "--output", str(quick)).returncode == 0
    assert {path.name: path.read_bytes() for path in quick.iterdir()} == before


@pytest.mark.slow
def test_readme_keeps_its_other_parts(quick: Path, tmp_path: Path) -> None:
    readme = tmp_path / "other" / "README.md"
    readme.parent.mkdir()
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(json.loads((quick / "figures.json").read_text()), tmp_path, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "docs/benchmarks/README.md" in text
    assert "old" not in text


@pytest.mark.slow
def test_failed_configuration_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = configuration("sync", "CONN_MAX_AGE=60")
    missing = replace(there, name="missing", requirements=("no-such-distribution-of-ours",))
    broken = replace(there, name="broken", database={"ENGINE": "no_such_engine"})
    monkeypatch.setattr(run, "CONFIGURATIONS", [missing, broken, there])
    tmp_path.chmod(0o755)
    measured = run.Bench(replace(run.QUICK, loads=(DB,)), tmp_path)
    measured.run(lambda figures: None)
    assert set(measured.figures["failed"]) == {"missing", "broken"}
    assert "no-such-distribution-of-ours" in measured.figures["failed"]["missing"]
    assert "no_such_engine" in measured.figures["failed"]["broken"]
    assert [each["configuration"] for each in measured.figures["runs"]] == [there.name]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--rounds", "0"], 2, "--rounds has to be between 1 and 3600"),
        (["--seconds", "99999999999"], 2, "--seconds has to be between 1 and 3600"),
        (["--output", __file__], 2, "is no directory"),
        (["--only", "no such"], 1, "see --list"),
        (["--only", "("], 2, "no regular expression"),
        (["--report", "--output", "/nonexistent"], 1, "run the bench without --report"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    output = [] if "--output" in arguments else ["--output", str(tmp_path)]
    done = bench(*arguments, *output)
    assert done.returncode == code
    assert message in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"runs": [{}]}'])
def test_foreign_figures_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="has no figures of this bench") as refused:
        read(file)
    assert str(file) in str(refused.value)


def test_committed_report_is_that_of_the_committed_figures(tmp_path: Path) -> None:
    committed = ROOT / "docs" / "benchmarks"
    report.write(read(committed / "figures.json"), tmp_path, None)
    for name in ("README.md", "loads.md"):
        assert (tmp_path / name).read_text() == (committed / name).read_text()


def programs(process: psutil.Process) -> dict[str, psutil.Process]:
    """Return the processes below `process` by their command lines."""
    found = {}
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[" ".join(child.cmdline())] = child
    return found


@pytest.mark.slow
def test_interrupted_run_stops_its_servers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--only", "^sync: CONN_MAX_AGE=0"]
    with subprocess.Popen(
        [*command, "--seconds", "60", "--output", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 120
        while not any("-d61s" in line for line in programs(psutil.Process(running.pid))):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        started = programs(psutil.Process(running.pid))
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
        running.send_signal(signal.SIGTERM)  # is ignored: the servers are stopping
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "bench: interrupted" in said
    assert "Traceback" not in said
    for program in ("gunicorn", "postgres"):
        assert any(program in line for line in started)
    assert not [line for line, process in started.items() if process.is_running()]


def test_missing_wrk_is_named(tmp_path: Path) -> None:
    done = bench("--quick", "--output", str(tmp_path), PATH=str(tmp_path))
    assert done.returncode == 1
    assert "apt-get install wrk" in done.stderr


def test_every_configuration_has_its_own_name_and_loads() -> None:
    assert len({each.name for each in CONFIGURATIONS}) == len(CONFIGURATIONS)
    for each in CONFIGURATIONS:
        assert is_measured(DB, each)
    assert {each.name for each in CONFIGURATIONS} >= {*run.MINUTE, *run.OVERLOADED, *report.SHOWN}


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Yield the URL of a server that gives every request this status."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *arguments: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_wrk_counts_answers_and_failures() -> None:
    with answering(200) as url:
        good = loads.apply(url, Load("db", clients=4), 2, session="")
    assert not good.failed
    _warm_up, *counted = good.each_second
    assert len(counted) == 2
    assert 2 * good.rate == good.requests == sum(counted) > 0
    assert 0 < good.p50 <= good.p95 <= good.p99
    with answering(503) as url:
        bad = loads.apply(url, Load("db", clients=4), 1, session="")
    assert bad.failed["503"] > 0
    assert bad.requests == bad.rate == 0
    assert bad.failed["no answer"] == 4


def test_hung_server_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        hung = loads.apply(f"http://127.0.0.1:{port}", Load("db", clients=4), 1)
    assert hung.failed == {"no answer": 4}


def test_overload_counts_every_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload, "RECOVERED", 20)
    with answering(200) as url:
        figures = asyncio.run(overload.overload(url, 1))
    assert figures["statuses"] == {"200": overload.RATE}
    assert figures["recovery"] < 1


def test_busiest_worker_is_found() -> None:
    before = Spent(1.0, 1.0, {1: 5.0, 2: 1.0})
    assert Spent(2.0, 1.0, {1: 5.1, 2: 2.9}).since(before).busiest == pytest.approx(0.95)
    assert Spent(2.0, 1.0, {1: 6.0, 2: 2.0}).since(before).busiest == pytest.approx(0.5)


def figures_of(*rates: tuple[str, int, float], load: Load = MIXED, **changed: Any) -> Figures:
    """Return figures with a run for each name, round and rate."""
    common: dict[str, Any] = {
        "bound": BOUND,
        "peak": BOUND,
        "samples": 1,
        "requests": 9_999,
        "opened": 1,
    }
    common |= {**asdict(load), "p99": 1.0, "failed": {}, "repeated": False, **changed}
    runs = [{"configuration": name, "round": n, "rate": rate, **common} for name, n, rate in rates]
    noted = {name: {"group": "gevent"} for name, _, _ in rates}
    return Figures({"configurations": noted, "runs": runs, "minute": {}, "overload": []})


def ratios(figures: Figures) -> list[Target]:
    return [target for target in judge(figures) if target.load in loads.VIEWS]


def test_ratios_are_taken_within_a_round() -> None:
    figures = figures_of(
        *(("a", 1, 10.0), ("a", 2, 90.0), ("a", 3, 1.0)), *(("b", 1, 5.0), ("b", 2, 30.0))
    )
    assert figures.ratio("a", "b", MIXED) == Spread(2.5, 2.0, 3.0)


def test_repeated_run_is_left_out() -> None:
    figures = figures_of(("a", 1, 10.0), ("a", 2, 20.0))
    figures.raw["runs"][0]["repeated"] = True
    assert Figures(figures.raw).spread("a", MIXED) == Spread(20.0, 20.0, 20.0)


@pytest.mark.parametrize(("rate", "met", "gap"), [(450.0, True, ""), (225.0, False, "50%")])
def test_target_is_judged_by_the_median(rate: float, met: bool, gap: str) -> None:
    theirs = [(PEER, number, 100.0) for number in (1, 2, 3)]
    ours = [(SERVICE, number, each) for number, each in enumerate((1.0, rate, 999.0), 1)]
    targets = judge(figures_of(*theirs, *ours))
    (target,) = [each for each in targets if each.what == "gevent / Django's pool"]
    assert (target.met, target.gap) == (met, gap)


def test_best_peer_is_the_best_of_all() -> None:
    peers = [
        (f"gevent: {name}", 1, rate) for name, rate in zip(BEST, (1.0, 4.0, 2.0, 3.0), strict=True)
    ]
    update = Load("updates")
    (target,) = ratios(figures_of((SERVICE, 1, 8.0), *peers, load=update))
    assert target.measured.median == 2.0
    assert not ratios(figures_of((SERVICE, 1, 8.0), *peers[1:], load=update))


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"peak": BOUND + 1}, ["most connections"]),
        ({"opened": 100}, ["connections opened"]),
        ({"failed": {"500": 1}}, ["failed requests"]),
    ],
)
def test_counts_are_judged_by_every_run(changed: dict[str, Any], missed: list[str]) -> None:
    targets = judge(figures_of((SERVICE, 1, 480.0), **changed))
    found = [each.what for each in targets if each.load == "all" and not each.met]
    assert [what for what in found if not what.startswith(tuple(missed))] == []
    assert len(found) == len(missed)


@pytest.mark.parametrize(
    ("changed", "whole"),
    [({}, True), ({"seconds": 1}, False), ({"rounds": 1}, False), ({"only": "^sync"}, False)],
)
def test_only_a_whole_run_is_published(changed: dict[str, Any], whole: bool) -> None:
    assert run.Plan().loads == tuple(LOADS)
    plan = asdict(replace(run.Plan(), **changed))
    assert is_whole({"plan": plan, "minutes": 60, "failed": {}}) == whole
    assert not is_whole({"plan": plan, "minutes": 60, "failed": {PEER: "did not start"}})
    assert not is_whole({"plan": plan, "failed": {}})  # interrupted
