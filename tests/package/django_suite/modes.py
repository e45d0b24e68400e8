"""The drivers, and the ways in which the suite runs."""

DRIVERS = ("psycopg", "psycopg2")

MODES = {
    "django": "Django's backend",
    "plain": "connection_slots.backend without slots",
    "slots": "connection_slots.backend with slots",
    "switch": "connection_slots.backend with slots, another session after each release",
}
