"""A real PostgreSQL for development and tests. Never for production."""

from devdb.binaries import find_binaries, wheel_binaries
from devdb.cluster import Cluster
from devdb.environment import database, set_environment
from devdb.errors import DevdbError

__all__ = [
    "Cluster",
    "DevdbError",
    "database",
    "find_binaries",
    "set_environment",
    "wheel_binaries",
]
