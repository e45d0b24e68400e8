"""A Django database backend: ENGINE = "connection_slots.backend"."""
