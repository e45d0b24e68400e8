"""Let the events happen to a fleet under load, one after another, and note their outcomes."""

import time
from contextlib import ExitStack

from connection_slots.testing.clients import Answers, crowd
from tests.template.fleet import figures
from tests.template.fleet.figures import Outcome
from tests.template.fleet.fleet import Fleet
from tests.template.fleet.report import Report

CLIENTS = 12  # that send requests
QUERY = "/test/query?seconds=0.05"
RECOVERY = 30.0  # seconds for the service to recover when an event is over


def run(fleet: Fleet, seconds: float) -> Report:
    """Let each event happen under load, for at least `seconds`, and return what was noted."""
    with ExitStack() as stack:
        stack.enter_context(fleet.started())
        server = stack.enter_context(
            figures.sampling(fleet.cluster.url, figures.SERVER, figures.first_number)
        )
        clients = None
        if fleet.pgbouncer is not None:
            console = fleet.pgbouncer.url.rpartition("/")[0] + "/pgbouncer"
            clients = stack.enter_context(
                figures.sampling(console, figures.CLIENTS, figures.pool_clients)
            )
        answers = stack.enter_context(crowd(fleet.proxy, QUERY, clients=CLIENTS))
        time.sleep(1)  # the clients and samplers have begun
        outcomes = []
        for name, planned, happen in fleet.events():
            fleet.say(f"{fleet.mode}: {name}")
            since = time.monotonic()
            happen()
            time.sleep(max(0.0, since + seconds - time.monotonic()))
            until = _recovered(answers, since)
            requests = figures.answered(answers, since, until)
            failed = figures.failures(requests)
            outcomes.append(
                Outcome(
                    name,
                    planned,
                    len(requests) - sum(failed.values()),
                    failed,
                    server.peak(since, until),
                    None if clients is None else clients.peak(since, until),
                    figures.recovery(requests, since),
                    max((took for _, took, _ in requests), default=0.0),
                )
            )
            fleet.say(f"  {outcomes[-1]}")
    return Report(fleet.mode, fleet.budget, outcomes)


def _recovered(answers: Answers, since: float) -> float:
    """Wait until the last second had answers and no failure. Return the time, in any case."""
    deadline = time.monotonic() + RECOVERY
    while True:
        now = time.monotonic()
        last = figures.answered(answers, max(since, now - 1), now)
        if now > deadline or (now > since + 1 and last and not figures.failures(last)):
            return now
        time.sleep(0.1)
