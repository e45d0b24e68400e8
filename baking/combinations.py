"""The combinations of answers that the template offers, read from cookiecutter.json.

A choice that is added there is tested without a change here.
"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
PROMPTS = json.loads((ROOT / "cookiecutter.json").read_text())

# The oldest Python that each Django release supports here: projects are tested on it.
PYTHON = {"5.2": "3.11", "6.1": "3.12"}

# Worker classes that run requests on greenlets. How a driver waits there depends on the driver.
GREEN = ("gevent", "eventlet")


@dataclass(frozen=True)
class Combination:
    """One answer to each prompt that has choices."""

    worker_class: str
    database_driver: str
    django_version: str

    @property
    def answers(self) -> dict[str, str]:
        """Return the answers by prompt name, as cookiecutter takes them."""
        return dict(vars(self))

    @property
    def refused(self) -> bool:
        """Return True if the template refuses to generate this combination."""
        return self.worker_class == "eventlet" and self.database_driver == "psycopg"

    def __str__(self) -> str:
        return f"{self.worker_class}-{self.database_driver}-{self.django_version}"


def select(combinations: list[Combination]) -> list[Combination]:
    """Return the few combinations whose own test suites run by default.

    There is one for each worker class, and one for each driver where the worker class runs on
    greenlets. Pairs of driver and Django release are used in turn, so that all occur.
    """
    candidates: dict[tuple[str, ...], list[Combination]] = {}
    for each in combinations:
        driver = (each.database_driver,) if each.worker_class in GREEN else ()
        candidates.setdefault((each.worker_class, *driver), []).append(each)
    selected: list[Combination] = []
    used: Counter[tuple[str, str]] = Counter()
    for group in candidates.values():
        best = min(group, key=lambda each: used[each.database_driver, each.django_version])
        used[best.database_driver, best.django_version] += 1
        selected.append(best)
    return selected


ALL = [
    Combination(*answers)
    for answers in itertools.product(
        PROMPTS["worker_class"], PROMPTS["database_driver"], PROMPTS["django_version"]
    )
]
SUPPORTED = [combination for combination in ALL if not combination.refused]
REFUSED = [combination for combination in ALL if combination.refused]
SELECTED = select(SUPPORTED)
DEFAULT = ALL[0]
