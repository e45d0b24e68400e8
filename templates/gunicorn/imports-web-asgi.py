import os
import sys
from pathlib import Path
from typing import Any

from connection_slots.gunicorn import (
    on_reload,  # noqa: F401 - the same checks, before new workers start
    post_worker_init,  # noqa: F401 - installs the slots, and checks that the driver yields
)
from connection_slots.gunicorn import on_starting as _refuse_unbounded_connections
