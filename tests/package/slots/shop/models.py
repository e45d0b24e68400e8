"""A few related tables."""

from django.db import models


class Category(models.Model):
    """A category of products."""

    name = models.CharField(max_length=50, unique=True)


class Product(models.Model):
    """A product in a category."""

    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="products")
    name = models.CharField(max_length=50)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    details = models.JSONField(default=dict)
    tags = models.ManyToManyField("Tag")


class Tag(models.Model):
    """A word for products, with a key that the database does not generate."""

    word = models.CharField(max_length=20, primary_key=True)
