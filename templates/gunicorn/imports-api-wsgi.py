import os
import sys

from connection_slots.gunicorn import (
    on_reload,  # noqa: F401 - the same checks, before new workers start
    on_starting,  # noqa: F401 - refuses what would let connections grow without bound
    post_request,  # noqa: F401 - gives up the slot that a request still has
    post_worker_init,  # noqa: F401 - installs the slots, and checks that the driver yields
    pre_request,  # noqa: F401 - marks the beginning of a request
)
