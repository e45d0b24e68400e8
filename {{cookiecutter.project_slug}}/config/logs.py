"""Logs: one line on standard error for each event, as JSON in production, readable with DEBUG."""

import logging
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor

RESERVED = ("event", "level", "logger", "positional_args", "request_id", "timestamp")
READ_EXTRA = structlog.stdlib.ExtraAdder()


def configuration(*, debug: bool, apps: Sequence[str] = ()) -> dict[str, Any]:
    """Return the argument of logging.config.dictConfig, for Django and for gunicorn.

    The loggers of Django, gunicorn, connection_slots and `apps` log from INFO, all others, which
    are those of libraries, from WARNING.
    """
    logging.captureWarnings(True)
    console = {"handlers": ["console"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "pass_foreign_args": True,  # as "positional_args"
                "foreign_pre_chain": [
                    structlog.contextvars.merge_contextvars,
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    add_extra,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    add_gunicorn_fields,
                ],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *(_readable() if debug else _json()),
                ],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            **{name: {"level": "INFO"} for name in ("config", "connection_slots", *apps)},
            **{name: console for name in ("django", "gunicorn.access", "gunicorn.error")},
        },
    }


def add_extra(logger: Any, method: str, event: EventDict) -> EventDict:
    """Add the values of `extra`, under another name where the log has a field of that name."""
    extra = READ_EXTRA(logger, method, {"_record": event["_record"]})
    del extra["_record"]
    for name, value in extra.items():
        event[f"extra_{name}" if name in RESERVED else name] = value
    return event


def add_gunicorn_fields(logger: Any, method: str, event: EventDict) -> EventDict:
    """Describe a request in fields, from the values that gunicorn has for its access log.

    gunicorn logs outside requests: the context of its thread may be that of an earlier one.
    """
    arguments = event.pop("positional_args", None)
    if not event["_record"].name.startswith("gunicorn."):
        return event
    event.pop("request_id", None)
    if event["_record"].name == "gunicorn.access":
        event.update(
            event=f"{arguments['m']} {quote(arguments['U'] or '-')} {arguments['s']}",
            method=arguments["m"],
            path=arguments["U"],
            query=arguments["q"],
            status=int(arguments["s"]),
            bytes=arguments["B"],
            milliseconds=round(float(arguments["L"]) * 1000, 1),
            client=arguments["h"],
            user_agent=arguments["a"],
            request_id=arguments["{x-request-id}o"],
        )
    return event


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _readable() -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
