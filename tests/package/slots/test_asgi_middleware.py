"""The middleware for ASGI does what Django's does, on the event loop."""

import asyncio
import threading
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from connection_slots import asgi_middleware
from connection_slots.asgi import Handler

NAMESAKES = {
    "CommonMiddleware": "django.middleware.common",
    "CsrfViewMiddleware": "django.middleware.csrf",
    "SecurityMiddleware": "django.middleware.security",
    "XFrameOptionsMiddleware": "django.middleware.clickjacking",
}

pytestmark = pytest.mark.skipif(
    type(threading.Lock()).__module__ != "_thread", reason="ASGI runs on OS threads"
)


async def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


def call(middleware: Any, request: HttpRequest) -> Any:
    return asyncio.run(middleware(view)(request))


@pytest.mark.parametrize("name", NAMESAKES)
@pytest.mark.parametrize("path", ["/", "/missing", "//twice/"])
def test_answer_is_that_of_django(name: str, path: str) -> None:
    ours = getattr(asgi_middleware, name)
    django = getattr(import_module(NAMESAKES[name]), name)
    settings = {"ROOT_URLCONF": __name__, "ALLOWED_HOSTS": ["testserver"]}
    with override_settings(**settings, SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=60):
        expected, found = (call(each, RequestFactory().get(path)) for each in (django, ours))
    assert (found.status_code, found.headers) == (expected.status_code, expected.headers)


urlpatterns: list[Any] = []


@pytest.mark.parametrize("name", NAMESAKES)
def test_hooks_run_on_the_event_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[threading.Thread] = []
    middleware = getattr(asgi_middleware, name)
    for hook in ("process_request", "process_response"):
        if hasattr(middleware, hook):

            def noted(self: Any, *arguments: Any) -> Any:
                seen.append(threading.current_thread())
                return arguments[1] if len(arguments) > 1 else None

            monkeypatch.setattr(middleware, hook, noted)
    with override_settings(ALLOWED_HOSTS=["testserver"], ROOT_URLCONF=__name__):
        call(middleware, RequestFactory().get("/"))
    assert seen
    assert set(seen) == {threading.main_thread()}


@pytest.mark.parametrize("method", ["get", "post"])
def test_form_without_token_is_refused(method: str) -> None:
    async def check() -> Any:
        middleware: Any = asgi_middleware.CsrfViewMiddleware(view)
        return await middleware.process_view(getattr(RequestFactory(), method)("/"), view, (), {})

    with override_settings(ALLOWED_HOSTS=["testserver"], TEMPLATES=[]):
        answer = asyncio.run(check())
    assert (answer is None) is (method == "get")


def test_handler_replaces_the_namesakes() -> None:
    given = [
        "connection_slots.health.HealthMiddleware",
        *(f"{m}.{n}" for n, m in NAMESAKES.items()),
    ]
    with override_settings(MIDDLEWARE=given, ROOT_URLCONF=__name__):
        handler: Any = Handler()
        assert given == settings.MIDDLEWARE
    chain, found = handler._middleware_chain, []
    while chain := getattr(getattr(chain, "__wrapped__", chain), "get_response", None):
        found.append(type(getattr(chain, "__wrapped__", chain)).__module__)
    assert found.count("connection_slots.asgi_middleware") == len(NAMESAKES)


def test_token_in_the_session_keeps_django_class() -> None:
    given = ["django.middleware.csrf.CsrfViewMiddleware"]
    with override_settings(MIDDLEWARE=given, ROOT_URLCONF=__name__, CSRF_USE_SESSIONS=True):
        handler: Any = Handler()
    (check,) = handler._view_middleware
    assert not hasattr(check, "__self__") or type(check.__self__).__module__.startswith("django.")


def test_hook_that_may_wait_gets_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = asgi_middleware.XFrameOptionsMiddleware
    seen: list[threading.Thread] = []

    def noted(self: Any, request: Any, response: Any) -> Any:
        seen.append(threading.current_thread())
        return response

    monkeypatch.setattr(middleware, "may_wait", lambda self, request: True)
    monkeypatch.setattr(middleware, "process_response", noted)
    call(middleware, RequestFactory().get("/"))
    assert threading.main_thread() not in seen
    assert len(seen) == 1
