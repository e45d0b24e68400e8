"""A Django database backend: ENGINE = "database.backend"."""
