"""PostgreSQL connections for Django on gunicorn: reused, bounded, and held per transaction.

Nothing is imported here: gunicorn's master imports this package, and must import neither Django
nor a driver before its workers are monkey-patched.
"""

__version__ = "1.0.0"
