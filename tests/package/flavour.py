"""Run the tests of connection_slots in one flavour: how threads are implemented, and the driver.

    python -m tests.package.flavour gevent psycopg2 [pytest's arguments]

Monkey-patching and the choice of the driver have to come before anything else is imported.
"""

import os
import sys

FLAVOURS = [
    ("threads", "psycopg2"),
    ("threads", "psycopg"),
    ("gevent", "psycopg2"),
    ("gevent", "psycopg"),
    ("eventlet", "psycopg2"),
]


def main() -> int:
    """Patch, then run pytest."""
    try:
        threads, driver, *arguments = sys.argv[1:]
    except ValueError:
        sys.exit(__doc__)
    if (threads, driver) not in FLAVOURS:
        sys.exit(f"choose one of {', '.join(' '.join(flavour) for flavour in FLAVOURS)}")
    os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"  # trio has one, which eventlet breaks
    if threads == "gevent":
        from gevent import monkey

        monkey.patch_all()
    elif threads == "eventlet":
        import eventlet

        eventlet.monkey_patch()
    if driver == "psycopg2":
        sys.modules["psycopg"] = None  # type: ignore[assignment]  # Django prefers it
        if threads != "threads":
            psycogreen = __import__(f"psycogreen.{threads}", fromlist=["patch_psycopg"])
            psycogreen.patch_psycopg()
    import pytest

    plugins = ["devdb.pytest_plugin", "no:django", "no:cacheprovider"]
    own = [word for plugin in plugins for word in ("-p", plugin)]
    return pytest.main([*own, "-o", "addopts=", *(arguments or ["tests/package/slots"])])


if __name__ == "__main__":
    sys.exit(main())
