"""Run Django's own test suite on connection_slots.backend and compare it with Django's backend.

`python -m tests.package.django_suite --help` says how.
"""
