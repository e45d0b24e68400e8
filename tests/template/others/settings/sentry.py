"""Sentry's SDK, which traces each request and sends nothing: its transport stays in the process."""

import sentry_sdk

from tests.settings import *  # noqa: F403 - the project has it

from .. import sent

ROOT_URLCONF = "tests.others.urls"


class Transport(sentry_sdk.transport.Transport):
    """Count what would be sent."""

    def capture_envelope(self, envelope: sentry_sdk.envelope.Envelope) -> None:
        """Count the spans of a request, which are those of its statements too."""
        event = envelope.get_transaction_event()
        if event is not None:
            sent.count += len([one for one in event["spans"] if one["op"] == "db"])


sentry_sdk.init(
    dsn="https://key@sentry.invalid/1",
    traces_sample_rate=1.0,
    transport=Transport,
)
