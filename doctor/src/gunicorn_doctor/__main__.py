"""Run the command line with `python -m gunicorn_doctor`."""

from gunicorn_doctor.cli import main

raise SystemExit(main())
