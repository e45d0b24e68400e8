"""Tests of the package devdb, in place and on a real PostgreSQL."""
