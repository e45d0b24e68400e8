"""No transaction is ever split: if its connection is closed, the block fails as a whole."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, connections, transaction
from django.http import HttpResponse
from django.test import Client

from tests.package.slots.conftest import Actor, ask, held
from tests.package.slots.shop.models import Tag

INTERRUPTIONS: dict[str, Callable[[], object]] = {
    "close_old_connections": close_old_connections,
    "response.close": lambda: HttpResponse().close(),
    "request_finished": lambda: request_finished.send(sender=None),
    "request_started": lambda: request_started.send(sender=None),
    "connection.close": lambda: connection.close(),
    "close_all": connections.close_all,
}


def open_all_slots() -> None:
    """Leave an open connection in both slots: the next statement finds one."""
    with connection.cursor():
        other = Actor()
        other.do(ask)
        other.end()


@pytest.mark.parametrize("with_slots", [False, True])
@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_interrupted_block_commits_nothing(
    interruption: str, with_slots: bool, request: pytest.FixtureRequest
) -> None:
    if with_slots:
        request.getfixturevalue("pool")
        open_all_slots()
    Tag.objects.all().delete()
    with pytest.raises(Exception, match=r"closed|atomic|transaction"), transaction.atomic():
        Tag.objects.create(word="first")
        INTERRUPTIONS[interruption]()
        Tag.objects.create(word="second")
    assert Tag.objects.count() == 0
    assert not connection.in_atomic_block
    Tag.objects.create(word="third")
    assert Tag.objects.count() == 1


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_interrupted_block_that_ends_well_commits_nothing(interruption: str, pool: Any) -> None:
    Tag.objects.all().delete()
    with transaction.atomic():
        Tag.objects.create(word="first")
        INTERRUPTIONS[interruption]()
    assert Tag.objects.count() == 0
    assert held() == 0


@pytest.mark.parametrize("with_slots", [False, True])
def test_test_client_inside_a_block_keeps_it(
    with_slots: bool, request: pytest.FixtureRequest, settings_urls: None
) -> None:
    """The test client holds off close_old_connections, as TestCase needs it."""
    if with_slots:
        request.getfixturevalue("pool")
    Tag.objects.all().delete()
    with pytest.raises(ValueError, match="on purpose"), transaction.atomic():
        Tag.objects.create(word="first")
        assert Client().get("/").content == b"1"
        Tag.objects.create(word="second")
        raise ValueError("on purpose")
    assert Tag.objects.count() == 0


@pytest.fixture
def settings_urls() -> Any:
    """A view that counts the tags, at /."""
    from types import ModuleType

    from django.http import HttpRequest
    from django.test import override_settings
    from django.urls import path

    def count(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(Tag.objects.count()))

    urls: Any = ModuleType("urls")
    urls.urlpatterns = [path("", count)]
    with override_settings(ROOT_URLCONF=urls, ALLOWED_HOSTS=["testserver"]):
        yield


def test_savepoints_stay_in_their_block(pool: Any) -> None:
    Tag.objects.all().delete()
    with transaction.atomic():
        Tag.objects.create(word="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Tag.objects.create(word="lost")
            raise ZeroDivisionError
        assert held() == 1
    assert list(Tag.objects.values_list("word", flat=True)) == ["kept"]
    assert ask("SELECT pg_current_xact_id_if_assigned() IS NULL") is True
