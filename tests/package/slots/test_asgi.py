"""asgi.py: kept threads, and the end of a request, also of one that is cancelled."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from connection_slots import slots
from connection_slots.asgi import RECEIVERS, KeptThread, SlotsApplication
from tests.package.slots.conftest import DEADLINE, ask, wait_for

pytestmark = pytest.mark.skipif(
    type(threading.Lock()).__module__ != "_thread", reason="ASGI runs on OS threads"
)


@pytest.fixture(autouse=True)
def receivers() -> Any:
    """Connect again what SlotsApplication disconnects."""
    yield
    for signal, receiver in RECEIVERS:
        signal.connect(receiver)


def test_django_receivers_are_disconnected(pool: Any) -> None:
    SlotsApplication(lambda *call: asyncio.sleep(0))
    assert not any(signal.disconnect(receiver) for signal, receiver in RECEIVERS)


def test_django_receivers_serve_a_database_without_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    monkeypatch.setitem(connections.settings, "other", connections.settings["other"] | sqlite)
    del connections["other"]
    try:
        SlotsApplication(lambda *call: asyncio.sleep(0))
        assert all(signal.disconnect(receiver) for signal, receiver in RECEIVERS)
    finally:
        del connections["other"]


def serve(view: Callable[[], Awaitable[Any]], *, requests: int = 1, together: bool = False) -> Any:
    """Serve `view` as an ASGI application, and return the results."""
    results: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        results.append(await view())

    async def main() -> None:
        wrapped = SlotsApplication(application)
        calls = [wrapped({"type": "http"}, None, None) for _ in range(requests)]
        if together:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call

    asyncio.run(main())
    return results


def test_request_frees_its_slot(pool: Any) -> None:
    async def view() -> Any:
        return await sync_to_async(ask)()

    pids = serve(view, requests=5)
    assert len(set(pids)) == 1
    assert pool.counts()["free"] == 2


def test_threads_are_kept(pool: Any) -> None:
    async def view() -> int:
        return await sync_to_async(threading.get_ident)()

    assert len(set(serve(view, requests=5))) == 1


def test_waiting_request_holds_no_slot(pool: Any) -> None:
    waiting: set[int] = set()
    all_wait = asyncio.Event()

    async def view() -> None:
        await sync_to_async(ask)()
        waiting.add(len(waiting))
        if len(waiting) == 20:
            all_wait.set()
        await asyncio.wait_for(all_wait.wait(), DEADLINE)
        await sync_to_async(ask)()

    serve(view, requests=20, together=True)
    assert pool.counts()["free"] == 2


def test_second_thread_needs_no_second_slot(pool: Any) -> None:
    """As Django's error pages, which run on another thread than the view."""
    pool.timeout = 5.0

    async def view() -> None:
        await sync_to_async(ask)()
        await sync_to_async(ask, thread_sensitive=False)()

    serve(view, requests=6, together=True)
    assert pool.counts()["free"] == 2


def test_cancelled_request_frees_its_slot_when_its_view_has_ended(pool: Any) -> None:
    started, end = threading.Event(), threading.Event()

    def slow() -> None:
        with connection.cursor():
            started.set()
            end.wait(DEADLINE)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(slow)()

    async def main() -> None:
        wrapped = SlotsApplication(application)
        task = asyncio.create_task(wrapped({"type": "http"}, None, None))
        while not (started.is_set() or task.done()):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.counts()["held"] == 1
        end.set()
        for _ in range(100):
            if pool.counts()["free"] == 2:
                break
            await asyncio.sleep(0.05)
        assert pool.counts()["free"] == 2

    asyncio.run(main())


def test_transaction_of_a_request_is_not_seen_by_the_next(pool: Any) -> None:
    async def view() -> bool:
        await sync_to_async(ask)("BEGIN")
        return bool(await sync_to_async(ask)("SELECT pg_current_xact_id_if_assigned() IS NULL"))

    assert serve(view, requests=3) == [True] * 3
    wait_for(lambda: pool.counts()["free"] == 2, "slots that were held to be given up")


def test_task_after_its_request_frees_its_slot(pool: Any) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def view() -> None:
        async def work() -> None:
            await asyncio.sleep(0.05)
            await sync_to_async(ask)()

        tasks.append(asyncio.create_task(work(), context=contextvars.Context()))
        await tasks[-1]

    serve(view, requests=3)
    assert pool.counts()["held"] == 0


def test_task_may_outlive_its_request(pool: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def work() -> int:
            await asyncio.sleep(0.2)
            return int(await sync_to_async(ask)())

        tasks.append(asyncio.create_task(work()))

    async def main() -> None:
        await SlotsApplication(application)({"type": "http"}, None, None)
        assert await tasks[0] > 0
        assert pool.counts()["held"] == 0

    tasks: list[asyncio.Task[int]] = []
    asyncio.run(main())


def test_open_cursor_is_ended_on_its_thread(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    end_request = KeptThread.end_request

    def noting(thread: KeptThread) -> None:
        ended.append(threading.get_ident())
        end_request(thread)

    def work() -> int:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursors.append(cursor)
        return threading.get_ident()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        ended.append(await sync_to_async(work)())

    async def main() -> None:
        await SlotsApplication(application)({"type": "http"}, None, None)

    cursors: list[Any] = []
    monkeypatch.setattr(KeptThread, "end_request", noting)
    asyncio.run(main())
    wait_for(lambda: pool.counts()["free"] == 2, "the slot of the cursor to be given up")
    assert ended[0] == ended[1]


def test_call_that_was_cancelled_in_the_queue_is_forgotten() -> None:
    go, thread = threading.Event(), KeptThread()
    first = thread.submit(go.wait, 10)
    queued = thread.submit(print)
    assert queued.cancel()
    go.set()
    first.result(10)
    assert not thread.is_idle()
    thread.reset()
    assert thread.is_idle()
    thread.shutdown()


def test_hold_works_in_a_request(pool: Any) -> None:
    def work() -> Any:
        with slots.hold() as raw:
            return raw is connection.connection

    async def view() -> Any:
        return await sync_to_async(work)()

    assert serve(view) == [True]
