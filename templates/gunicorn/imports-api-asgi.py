import os
import sys

from connection_slots.gunicorn import (
    on_reload,  # noqa: F401 - the same checks, before new workers start
    on_starting,  # noqa: F401 - refuses what would let connections grow without bound
    post_worker_init,  # noqa: F401 - installs the slots, and checks that the driver yields
)
