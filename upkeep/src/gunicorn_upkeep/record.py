"""Read and write .cruft.json: the template, its version, and the answers of a service.

The format is that of cruft. cookiecutter writes the file from the template, cruft or this package
rewrites it.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gunicorn_upkeep.git import Refused

NAME = ".cruft.json"
UNKNOWN = "unknown"  # what the template records when it was baked from a directory


@dataclass(frozen=True)
class Record:
    """What .cruft.json says."""

    template: str
    commit: str
    directory: str
    answers: dict[str, str]
    raw: dict[str, Any]

    def changed(self, template: str, commit: str, context: dict[str, Any]) -> str:
        """Return the text of the file with another template address, commit and answers."""
        answers = context | {"_template": template, "_commit": commit}
        checkout = self.raw.get("checkout")
        content = self.raw | {
            "template": template,
            "commit": commit,
            "checkout": commit if checkout and commit != self.commit else checkout,
            "context": {"cookiecutter": answers},
        }
        return json.dumps(content, indent=2, sort_keys=True) + "\n"


def read(project: Path) -> Record:
    """Return the record of a service.

    Raises:
        Refused: `project` is no directory, or its .cruft.json is missing or malformed.
    """
    if not project.is_dir():
        raise Refused(f"{project} is not a directory")
    try:
        raw = json.loads((project / NAME).read_text(encoding="utf-8"))
        context = raw["context"]["cookiecutter"]
        template, commit, directory = raw["template"], raw["commit"], raw.get("directory") or ""
        if not all(isinstance(each, str) for each in (template, commit, directory)):
            raise TypeError
        answers = {name: str(value) for name, value in context.items() if name[:1] != "_"}
    except FileNotFoundError:
        raise Refused(f"{project} has no {NAME}: no template recorded its answers") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"{project / NAME} is malformed") from None
    return Record(template, commit, directory, answers, raw)


def is_address(template: str) -> bool:
    """Return True for the address of a repository, and False for a directory of this machine."""
    return bool(re.match(r"[a-z+]+://|[\w.-]+@[\w.-]+:", template))
