"""Tests of connection_slots on a real PostgreSQL. tests/package/flavour.py runs them."""
