"""Wait for a condition."""

import time
from collections.abc import Callable

# Seconds for anything that takes less than a few on an idle machine.
DEADLINE = 60.0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Return when `condition()` is true. Raises AssertionError with `what` after `seconds`."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)
