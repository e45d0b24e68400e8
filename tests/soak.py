"""A mixed load with random faults, on a project generated for it: `python -m tests.soak --help`."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.combinations import PROMPTS, ROOT, Combination
from tests.project import Project


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-class", choices=PROMPTS["worker_class"], default="gevent")
    parser.add_argument("--driver", choices=PROMPTS["database_driver"], default="psycopg2")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="repeat the faults of another run")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()

    combination = Combination(arguments.worker_class, arguments.driver, "5.2")
    with tempfile.TemporaryDirectory() as output:
        project = Project(Path(output), combination)
        shutil.copytree(ROOT / "tests" / "faults", project.directory / "tests" / "faults")
        command = ["uv", "run", "python", "-m", "tests.faults.soak"]
        command += ["--seconds", str(60 * arguments.minutes)]
        if arguments.seed is not None:
            command += ["--seed", str(arguments.seed)]
        if arguments.json:
            command += ["--json"]
        return subprocess.call(command, cwd=project.directory, env=project.environment)


if __name__ == "__main__":
    sys.exit(main())
