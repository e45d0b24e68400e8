"""Faults, one test each. tests/test_faults.py puts this package into a generated project's tests
and runs it there, with that project's gunicorn, its devdb.py and its environment."""
