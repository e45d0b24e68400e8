"""The task, and how a request defers it."""

from django.tasks import task

from ..work import work_on


@task()
def work(note: int) -> None:
    """Do the work."""
    work_on(note)


def defer(note: int) -> None:
    """Put the task into the queue."""
    work.enqueue(note=note)
