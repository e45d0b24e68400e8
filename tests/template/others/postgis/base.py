"""PostGIS with slots, as the README of connection_slots says."""

from django.contrib.gis.db.backends.postgis import base

from connection_slots.backend.base import SlotsMixin


class DatabaseWrapper(SlotsMixin, base.DatabaseWrapper):
    pass
