"""Generate a project, and run a mixed load with random faults on it.

python -m tests.template.soak --help
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from baking.combinations import PROMPTS, SUPPORTED
from baking.project import Project
from tests.template.tools import add_fault_tests


def main() -> int:
    """Run the soak. Return 0 if the service has kept its promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-class", choices=PROMPTS["worker_class"], default="gevent")
    parser.add_argument("--driver", choices=PROMPTS["database_driver"], default="psycopg2")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="repeat the faults of another run")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()

    wanted = (arguments.worker_class, arguments.driver)
    fitting = [each for each in SUPPORTED if (each.worker_class, each.database_driver) == wanted]
    if not fitting:
        parser.error(f"{arguments.driver} does not work with {arguments.worker_class}")
    with tempfile.TemporaryDirectory() as output:
        project = Project(Path(output, "project"), fitting[0])
        add_fault_tests(project)
        command = ["uv", "run", "python", "-m", "tests.faults.soak"]
        command += ["--seconds", str(60 * arguments.minutes)]
        if arguments.seed is not None:
            command += ["--seed", str(arguments.seed)]
        if arguments.json:
            command += ["--json"]
        return subprocess.call(command, cwd=project.directory, env=project.environment)


if __name__ == "__main__":
    sys.exit(main())
