"""Models for the tests."""
