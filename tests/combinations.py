"""What can be generated, read from cookiecutter.json: a new choice brings its tests."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = json.loads((ROOT / "cookiecutter.json").read_text())

# The oldest Python that each Django release is tested on: its first.
PYTHON = {"5.2": "3.11", "6.1": "3.12"}


@dataclass(frozen=True)
class Combination:
    """One answer to each question that has choices."""

    worker_class: str
    database_driver: str
    django_version: str

    @property
    def answers(self) -> dict[str, str]:
        return vars(self)

    @property
    def refused(self) -> bool:
        return self.worker_class == "eventlet" and self.database_driver == "psycopg"

    def __str__(self) -> str:
        return f"{self.worker_class}-{self.database_driver}-{self.django_version}"


ALL = [
    Combination(*answers)
    for answers in itertools.product(
        PROMPTS["worker_class"], PROMPTS["database_driver"], PROMPTS["django_version"]
    )
]
SUPPORTED = [combination for combination in ALL if not combination.refused]
REFUSED = [combination for combination in ALL if combination.refused]
DEFAULT = ALL[0]
