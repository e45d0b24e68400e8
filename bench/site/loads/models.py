"""The tables of TechEmpower's benchmarks: https://github.com/TechEmpower/FrameworkBenchmarks/wiki"""

from django.db import models


class World(models.Model):
    number = models.IntegerField()


class Fortune(models.Model):
    message = models.CharField(max_length=2048)
