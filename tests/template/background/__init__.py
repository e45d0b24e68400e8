"""Run background work beside the service: test_background_work.py copies this into a project."""
