"""How much is measured: the loads, how often and how long."""

from dataclasses import dataclass

from bench.load import Load

MAIN = Load("query", clients=100, keep_alive=True)
PLAIN = Load("plain", clients=100, keep_alive=True)  # the limit of gunicorn and Django
LOADS = [
    *(
        Load("query", clients, keep_alive)
        for keep_alive in (True, False)
        for clients in (16, 100, 400)
    ),
    *(Load(view, 100, keep_alive) for view in ("slow", "wait") for keep_alive in (True, False)),
    PLAIN,
]
LENDING = ("gevent", "asgi", "eventlet")
# One line each in the picture of connections over time.
OVER_TIME = (
    "gevent: slots, psycopg2",
    "gevent: CONN_MAX_AGE=60",
    "gevent: CONN_MAX_AGE=0",
    "gevent: Django's pool",
    "gevent: django-db-geventpool",
    "gevent: SQLAlchemy's pool",
    "gevent: PgBouncer",
    "asgi: slots, psycopg2",
    "asgi: CONN_MAX_AGE=60",
    "uvicorn: CONN_MAX_AGE=60",
)
SWEEP = (1, 2, 5, 10, 20, 50)
ROOMY = 1500  # max_connections where a limit of the server is not what is measured
USUAL = 100  # PostgreSQL's default


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 3
    seconds: int = 1  # for one run
    # For the load that most targets name: long enough that each client's first request, which
    # waits until gunicorn accepts its connection, is less than one percent of all.
    main_rounds: int = 5
    main_seconds: int = 6
    slow_seconds: int = 2  # for slow queries: the fewer are answered, the longer it takes
    over_time: int = 60  # seconds of each line in that picture
    loads: tuple[Load, ...] = tuple(LOADS)
    sweep: tuple[int, ...] = SWEEP
    only: str = ""

    def of(self, load: Load) -> tuple[int, int]:
        """Rounds and seconds for `load`."""
        if load == MAIN:
            return self.main_rounds, self.main_seconds
        return self.rounds, self.seconds_of(load.view)

    def seconds_of(self, view: str) -> int:
        """For one run that is not of the main load."""
        return self.slow_seconds if view == "slow" else self.seconds


QUICK = Plan(
    rounds=1,
    seconds=1,
    main_rounds=1,
    main_seconds=1,
    slow_seconds=1,
    over_time=2,
    loads=(MAIN, Load("query", 16, False), Load("wait", 16, True)),
    sweep=(1, 10),
)
