import os
import sys
from pathlib import Path
from typing import Any

from connection_slots.gunicorn import (
    on_reload,  # noqa: F401 - the same checks, before new workers start
    post_request,  # noqa: F401 - gives up the slot that a request still has
    post_worker_init,  # noqa: F401 - installs the slots, and checks that the driver yields
    pre_request,  # noqa: F401 - marks the beginning of a request
)
from connection_slots.gunicorn import on_starting as _refuse_unbounded_connections
