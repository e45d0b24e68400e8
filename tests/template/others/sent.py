"""How many statements this worker has reported to the transport or exporter of its tracing."""

count = 0
