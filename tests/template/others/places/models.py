"""A model with a position."""

from django.contrib.gis.db import models


class Place(models.Model):
    position = models.PointField(geography=True)
