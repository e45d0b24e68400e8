"""The task, and how a request defers it."""

from procrastinate.contrib.django import app

from ..work import work_on


@app.task
def work(note: int) -> None:
    """Do the work."""
    work_on(note)


def defer(note: int) -> None:
    """Put the task into the queue."""
    work.defer(note=note)
