"""A generated project records the template, its version and the answers, and no path or secret."""

import json
import tomllib
from pathlib import Path

import pytest
from cookiecutter.utils import create_env_with_context

from baking.combinations import DEFAULT, PROMPTS, ROOT, SUPPORTED, TEMPLATE, Combination
from tests.template.conftest import Bake


def test_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == PROMPTS["_version"]


@pytest.mark.parametrize("combination", SUPPORTED, ids=str)
def test_answers_are_recorded(combination: Combination, bake: Bake) -> None:
    record = json.loads((bake(combination) / ".cruft.json").read_text())
    assert record.keys() == {"template", "commit", "checkout", "context", "directory"}
    assert record["commit"] == f"v{PROMPTS['_version']}"
    answers = record["context"]["cookiecutter"]
    prompts = {name for name in PROMPTS if not name.startswith("_")}
    assert {name for name in answers if not name.startswith("_")} == prompts
    assert answers.items() >= combination.answers.items()


def test_record_has_no_path_of_this_machine(bake: Bake) -> None:
    text = (bake(DEFAULT) / ".cruft.json").read_text()
    assert json.loads(text)["template"] == "unknown"
    assert not any(str(path) in text for path in (Path.cwd(), Path.home(), bake(DEFAULT).parent))


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("https://example.org/team/template.git", "https://example.org/team/template.git"),
        ("https://user:secret@example.org/t.git", "https://example.org/t.git"),
        ("git+https://example.org/t.git", "https://example.org/t.git"),
        ("ssh://git@example.org/t.git", "ssh://git@example.org/t.git"),
        ("git@example.org:team/template.git", "git@example.org:team/template.git"),
        ("gh:team/template", "https://github.com/team/template"),
        (".", "unknown"),
        ("/home/me@work/template", "unknown"),
        ("../template", "unknown"),
    ],
)
def test_address_is_recorded(given: str, recorded: str) -> None:
    context = {"cookiecutter": {"_template": given, "_version": "1.0.0", "_jinja2_env_vars": {}}}
    context["cookiecutter"]["_jinja2_env_vars"] = PROMPTS["_jinja2_env_vars"]
    environment = create_env_with_context(context)
    text = environment.from_string((TEMPLATE / ".cruft.json").read_text()).render(**context)
    assert json.loads(text)["template"] == recorded
    assert json.loads(text)["context"]["cookiecutter"]["_template"] == recorded
