"""The views under load, which every configuration serves from the same tables."""
