"""Says on standard error how far the run is."""

import shutil
import sys
import time


class Progress:
    """On a terminal one line that changes, else a line for each configuration."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._step = ""

    def begin(self, step: str) -> None:
        self._step = f"{(time.monotonic() - self._began) / 60:5.1f} min  {step}"
        end = "" if self._terminal else "\n"
        print(f"\r\033[K{self._step}" if self._terminal else self._step, end=end, file=sys.stderr)

    def say(self, detail: str) -> None:
        if self._terminal:
            line = f"\r\033[K{self._step}: {detail}"
            print(line[: shutil.get_terminal_size().columns + 3], end="", file=sys.stderr)
            sys.stderr.flush()
