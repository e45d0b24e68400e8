"""The combinations of answers that the template offers, read from cookiecutter.json.

A choice that is added there is tested without a change here.
"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, fields
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
    service_kind: str = PROMPTS["service_kind"][0]

    @property
    def answers(self) -> dict[str, str]:
        """Return the answers by prompt name, as cookiecutter takes them."""
        return dict(vars(self))

    @property
    def refused(self) -> bool:
        """Return True if the template refuses to generate this combination."""
        return self.worker_class == "eventlet" and self.database_driver == "psycopg"

    def __str__(self) -> str:
        prompts = self.worker_class, self.database_driver, self.django_version, self.service_kind
        return "-".join(prompts)


def select(combinations: list[Combination]) -> list[Combination]:
    """Return the few combinations whose own test suites run by default.

    There is one for each worker class, and one for each driver where the worker class runs on
    greenlets. Pairs of driver and Django release are used in turn, and so are kinds of service.
    """
    candidates: dict[tuple[str, ...], list[Combination]] = {}
    for each in combinations:
        driver = (each.database_driver,) if each.worker_class in GREEN else ()
        candidates.setdefault((each.worker_class, *driver), []).append(each)
    selected: list[Combination] = []
    used: Counter[tuple[str, ...]] = Counter()
    for group in candidates.values():
        best = min(group, key=lambda each: (used[_versions(each)], used[(each.service_kind,)]))
        used.update([_versions(best), (best.service_kind,)])
        selected.append(best)
    return selected


def _versions(combination: Combination) -> tuple[str, ...]:
    return combination.database_driver, combination.django_version


ALL = [
    Combination(*answers)
    for answers in itertools.product(*(PROMPTS[each.name] for each in fields(Combination)))
]
SUPPORTED = [combination for combination in ALL if not combination.refused]
REFUSED = [combination for combination in ALL if combination.refused]
SELECTED = select(SUPPORTED)
DEFAULT = ALL[0]
