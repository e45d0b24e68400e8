"""Fixtures: write a small project, and check it."""

import json
import sys
import textwrap
from pathlib import Path

import pytest

from doctor_helpers import GOOD, Answer, Check, Write
from gunicorn_doctor.cli import main

# The tests bake projects of this template with `baking`, also when pytest is started in doctor/.
sys.path.append(str(Path(__file__).resolve().parents[2]))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the good service with some files replaced or added.

    A value of None leaves a file out.
    """

    def files(replaced: dict[str, str | None] | None = None) -> Path:
        root = tmp_path / "service"
        for name, text in {**GOOD, **(replaced or {})}.items():
            if text is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(textwrap.dedent(text).lstrip("\n"))
        return root

    return files


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Return a function that checks a directory and returns the answer."""

    def run(root: Path, *options: str) -> Answer:
        code = main(["check", str(root), "--format", "json", *options])
        return Answer(code, json.loads(capsys.readouterr().out))

    return run
