"""An app with one of Django's tasks."""
