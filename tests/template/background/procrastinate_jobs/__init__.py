"""An app with a task of procrastinate."""
