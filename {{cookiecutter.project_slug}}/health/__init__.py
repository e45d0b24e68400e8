"""Liveness and readiness, for the platform that runs this service."""
