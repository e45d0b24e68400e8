"""The doctor: a package of its own in src/, and its tests."""
