"""Run Django's own test suite on connection_slots.backend, and compare it with Django's backend.

The suite comes from the source release of the Django that is installed, and runs twice at the same
time on a throw-away PostgreSQL: on Django's backend and on connection_slots.backend, with the same
driver, settings and tests. A test that passes on the first and not on the second is a difference.
The differences that are meant to be are in expected.toml, each with its reason.

Exit status: 0 if there is no other difference, 1 if there is one, 2 if the suite could not run.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devdb import DevdbError
from tests.package.django_suite import report
from tests.package.django_suite.modes import DRIVERS, MODES
from tests.package.django_suite.results import Baseline, SuiteError, compare, read_expected
from tests.package.django_suite.run import Run, run_all
from tests.package.django_suite.selection import SELECTED
from tests.package.django_suite.server import missing_extensions, superusers_cluster
from tests.package.django_suite.source import find_suite

POSTGRES = "postgres_tests"


def main() -> int:
    """Run the suite, print the comparison, and return the exit status."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the server is stopped
    try:
        return _run(options)
    except (SuiteError, DevdbError, OSError) as error:
        print(f"django_suite: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.package.django_suite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--driver", choices=DRIVERS, default="psycopg", help="default: psycopg")
    parser.add_argument(
        "--slots",
        dest="mode",
        action="store_const",
        const="slots",
        default="plain",
        help="install slots in the test process; without it the backend is to behave as Django's",
    )
    parser.add_argument(
        "--switch",
        dest="mode",
        action="store_const",
        const="switch",
        help="like --slots, and each release is followed by a change of the session, as if "
        "another request had always been waiting for it",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--all", action="store_true", help="run the whole suite (about half an hour)"
    )
    which.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="run these, such as backends or transactions.tests.AtomicTests; default: the labels "
        "that concern connections, which take about half a minute",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="read the results of Django's backend from FILE, or write them there if there is no "
        "such file yet; it fits one Django, Python and driver, and the same or fewer labels",
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    return parser


def _run(options: argparse.Namespace) -> int:
    suite = find_suite()
    with tempfile.TemporaryDirectory(prefix="django-suite-") as directory:
        work = Path(directory)
        with superusers_cluster(work / "cluster") as cluster:
            labels = _labels(options, cluster.url)
            ours = Run(work / "ours", options.driver, options.mode, labels)
            baseline = _read_baseline(options, labels)
            if baseline is None:
                theirs = Run(work / "django", options.driver, "django", labels)
                run_all([theirs, ours], suite, cluster.url)
                baseline = Baseline.of(options.driver, labels, theirs.results())
                if options.baseline:
                    baseline.write(options.baseline)
            else:
                run_all([ours], suite, cluster.url)
        expected = read_expected(options.mode, options.driver)
        comparison = compare(baseline.outcomes, ours.results(), expected)
    title = report.title(options.driver, MODES[options.mode])
    print(report.as_json(title, comparison) if options.json else report.text(title, comparison))
    return 1 if comparison.unexpected else 0


def _labels(options: argparse.Namespace, server: str) -> list[str]:
    """Return the labels to run; none stands for all. Raise SuiteError for --all if it cannot run.

    The migrations of postgres_tests need PostgreSQL's contrib modules, which not every PostgreSQL
    comes with.
    """
    missing = missing_extensions(server)
    if not missing:
        return [] if options.all else options.labels or SELECTED
    problem = f"this PostgreSQL has no {', '.join(missing)} (postgresql-contrib)"
    if options.all:
        raise SuiteError(f"{problem}: the whole suite cannot run on it, see DEVDB_BINARIES")
    print(f"{problem}: postgres_tests is left out", file=sys.stderr)
    return [label for label in options.labels or SELECTED if label.split(".")[0] != POSTGRES]


def _read_baseline(options: argparse.Namespace, labels: Sequence[str]) -> Baseline | None:
    if options.baseline is None:
        return None
    return Baseline.read(options.baseline, options.driver, labels)


if __name__ == "__main__":
    sys.exit(main())
