"""Find out if all slots of a server work."""

from connection_slots.testing.clients import load, statuses
from connection_slots.testing.sampler import sampling
from connection_slots.testing.server import Gunicorn


def assert_capacity(server: Gunicorn, slots: int, query: str = "/test/query?seconds=0.5") -> None:
    """Assert that `slots` queries run at the same time, on no more than `slots` connections.

    `slots` is the sum over all workers. Use it with one worker, or with slots that each have a
    worker: the kernel does not divide requests evenly among several.
    """
    with sampling(server) as samples:
        responses = load(server, query, clients=slots, requests=2)
    assert statuses(responses) == {200: 2 * slots}  # noqa: S101
    assert samples.peak_active == slots, f"{samples.peak_active} of {slots} slots worked"  # noqa: S101
    assert len(server.connections()) <= slots  # noqa: S101
