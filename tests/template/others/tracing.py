"""Instrument Django and the driver before the first connection is opened."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from . import sent


class Exporter(SpanExporter):
    """Count what would be sent."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count the spans of statements."""
        sent.count += sum("db.system" in (span.attributes or {}) for span in spans)
        return SpanExportResult.SUCCESS


class Tracing(AppConfig):
    """An app that comes without models."""

    name = "tests.others.tracing"

    def ready(self) -> None:
        """Instrument Django, which changes MIDDLEWARE, and the driver."""
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(Exporter()))
        trace.set_tracer_provider(provider)
        DjangoInstrumentor().instrument(is_sql_commentor_enabled=True)
        if is_psycopg3:
            from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor as Instrumentor
        else:
            from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor as Instrumentor
        Instrumentor().instrument(skip_dep_check=True, enable_commenter=True)
