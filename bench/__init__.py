"""The template against what people use today, in one run: `python -m bench --help`."""
