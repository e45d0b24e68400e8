"""Generate projects from this template, install them, and run commands in them."""
