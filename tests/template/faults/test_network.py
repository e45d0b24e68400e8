"""The network to PostgreSQL, or PostgreSQL itself, falls silent without an error."""

import pytest

from connection_slots.backend.watchdog import ANSWER_TAKES, INTERVAL
from connection_slots.testing.clients import crowd, load, statuses
from connection_slots.testing.waiting import wait_for
from tests.package.proxy import Mode, Proxy

from .conftest import Limit, Serve
from .support import ANSWERED, CONNECT, SYNC, Report


def test_deaf_server_is_answered_with_503(
    service: Serve, proxy: Proxy, report: Report, prompt_limit: Limit
) -> None:
    proxy.mode = Mode.DEAF
    with service(port=proxy.port) as server:
        with crowd(server, "/livez", clients=1) as livez:
            late = load(server, "/test/query", clients=4, requests=1)
        slowest = max(response.seconds for response in late)
        report(answers=statuses(late), slowest=slowest, livez=livez.counts())
        assert statuses(late) == {503: 4}
        assert slowest < ANSWERED
        assert set(livez.counts()) == {200}
        if not SYNC:
            assert livez.slowest() < prompt_limit()
        proxy.mode = Mode.PASS
        wait_for(lambda: server.get("/test/query").status == 200, "recovery", 2 * CONNECT)
        assert statuses(load(server, "/test/query", clients=16, requests=5)) == {200: 80}


@pytest.mark.essential
def test_frozen_network_is_answered_with_503(
    service: Serve, proxy: Proxy, report: Report, prompt_limit: Limit
) -> None:
    timeout = 1
    with service(port=proxy.port, DATABASE_STATEMENT_TIMEOUT=str(timeout)) as server:
        load(server, "/test/query", clients=16, requests=5)
        with crowd(server, "/livez", clients=1) as livez:
            proxy.mode = Mode.FREEZE
            late = load(server, "/test/query", clients=4, requests=1)
        slowest = max(response.seconds for response in late)
        report(answers=statuses(late), slowest=slowest, livez=livez.counts())
        assert statuses(late) == {503: 4}
        # The watchdog ends the statement. A request that waits for its slot then tries to connect.
        assert slowest < timeout + ANSWER_TAKES + INTERVAL + ANSWERED
        assert set(livez.counts()) == {200}
        if not SYNC:
            assert livez.slowest() < prompt_limit()
        proxy.mode = Mode.PASS
        # The first use of each other connection that was open finds out that it is silent.
        wait_for(
            lambda: statuses(load(server, "/test/query", clients=16, requests=2)) == {200: 32},
            "recovery",
        )
