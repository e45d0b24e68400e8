"""What is generated: only what the choices need, formatted, and readable by its tools."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.combinations import DEFAULT, ROOT, SUPPORTED, Combination
from tests.conftest import Bake, generate

# Words that only one worker class has a use for.
WORDS = {
    "sync": r"\bsync worker|['\"`]sync['\"`]",
    "gthread": r"\bgthread\b",
    "gevent": r"\bgevent\b",
    "eventlet": r"\beventlet\b",
    "asgi": r"\basgi\b|\bASGI\b",
}
# Files that only some have; everything else is the same in all.
SOMETIMES = {
    "config/wsgi.py": lambda c: c.worker_class != "asgi",
    "config/asgi.py": lambda c: c.worker_class == "asgi",
    "database/green.py": lambda c: c.worker_class in {"gevent", "eventlet"},
    "database/slots.py": lambda c: c.worker_class in {"gevent", "eventlet", "asgi"},
    "database/threads.py": lambda c: c.worker_class == "asgi",
    "tests/test_requests.py": lambda c: c.worker_class == "asgi",
    "tests/test_slots.py": lambda c: c.worker_class in {"gevent", "eventlet", "asgi"},
}
every_combination = pytest.mark.parametrize("combination", SUPPORTED, ids=str)


def files(project: Path) -> dict[str, str]:
    return {
        str(path.relative_to(project)): path.read_text()
        for path in project.rglob("*")
        if path.is_file()
    }


@every_combination
def test_the_tree_holds_what_its_options_need(combination: Combination, bake: Bake) -> None:
    found = set(files(bake(combination)))
    expected = set(files(bake(DEFAULT))) - SOMETIMES.keys()
    expected |= {path for path, needed in SOMETIMES.items() if needed(combination)}
    assert found == expected


@every_combination
def test_nothing_of_the_template_is_left(combination: Combination, bake: Bake) -> None:
    for path, text in files(bake(combination)).items():
        assert "cookiecutter" not in text, path
        # GitHub's own expressions have a dollar before.
        assert not re.search(r"\{%|%\}|\{#|(?<!\$)\{\{ ", text), path


@every_combination
def test_there_is_no_word_of_another_worker_class(combination: Combination, bake: Bake) -> None:
    others = {name: word for name, word in WORDS.items() if name != combination.worker_class}
    for path, text in files(bake(combination)).items():
        for name, word in others.items():
            assert not re.search(word, text), f"{path} speaks of {name}"


@every_combination
def test_psycogreen_stands_where_it_is_needed(combination: Combination, bake: Bake) -> None:
    needed = combination.database_driver == "psycopg2" and combination.worker_class in {
        "gevent",
        "eventlet",
    }
    found = files(bake(combination))
    assert ("patch_psycopg()" in found["gunicorn.conf.py"]) is needed
    assert ("psycogreen" in "".join(found.values())) is needed


@every_combination
def test_it_is_formatted_and_free_of_lint(combination: Combination, bake: Bake) -> None:
    for command in (["format", "--check", "--diff"], ["check"]):
        done = ruff(*command, project=bake(combination))
        assert done.returncode == 0, done.stdout


@every_combination
def test_its_metadata_is_valid(combination: Combination, bake: Bake) -> None:
    project = tomllib.loads((bake(combination) / "pyproject.toml").read_text())["project"]
    assert project["name"] == "my-service"
    requirements = " ".join(project["dependencies"])
    assert ("gunicorn>=25.3,<26" in requirements) is (combination.worker_class == "eventlet")
    assert ("gunicorn[gevent]" in requirements) is (combination.worker_class == "gevent")
    assert f"django>={combination.django_version}" in requirements


@pytest.mark.parametrize(
    "name",
    [
        'Rock\'n "Roll"',
        "Çà et là, déjà vu",
        "back\\slash \\n",
        "a" * 300,
        "東京 🎸",
        "100 % sure # $HOME `id`",
    ],
)
def test_an_awkward_name_bakes_clean(name: str, tmp_path: Path) -> None:
    slug = {} if re.match(r"[a-zà-ž]", name, re.IGNORECASE) else {"project_slug": "service"}
    project = generate(tmp_path, project_name=name, **slug)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["description"] == name
    assert (project / "README.md").read_text().startswith(f"# {name}\n")
    for command in (["format", "--check", "--diff"], ["check"]):
        done = ruff(*command, project=project)
        assert done.returncode == 0, done.stdout


def test_the_longest_slug_bakes_clean(tmp_path: Path) -> None:
    project = generate(tmp_path, project_slug="a" * 40, worker_class="gevent")
    for command in (["format", "--check", "--diff"], ["check"]):
        done = ruff(*command, project=project)
        assert done.returncode == 0, done.stdout


def test_generating_twice_gives_the_same(bake: Bake, tmp_path: Path) -> None:
    assert files(generate(tmp_path)) == files(bake(DEFAULT))


@every_combination
def test_every_variable_that_is_read_is_in_the_example(
    combination: Combination, bake: Bake
) -> None:
    found = files(bake(combination))
    sources = found["config/settings.py"] + found["gunicorn.conf.py"]
    read = set(re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", sources))
    offered = set(re.findall(r"^#?([A-Z_]+)=", found[".env.example"], re.MULTILINE))
    assert read == offered


def test_the_dockerfile_passes_hadolint(bake: Bake) -> None:
    assert_passes("hadolint", bake(DEFAULT) / "Dockerfile")


def test_the_compose_file_is_valid(bake: Bake) -> None:
    project = bake(DEFAULT)
    assert_passes("docker-compose", "--file", project / "compose.yaml", "config", "--quiet")


def test_the_workflow_is_valid_and_safe(bake: Bake, tmp_path: Path) -> None:
    # Tags, which are ranges: a commit pinned here would be out of date when it is generated.
    policy = tmp_path / "zizmor.yml"
    policy.write_text('rules: {unpinned-uses: {config: {policies: {"actions/*": ref-pin}}}}')
    workflow = bake(DEFAULT) / ".github" / "workflows" / "ci.yml"
    assert_passes("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    assert_passes("zizmor", "--offline", "--no-progress", "--config", policy, workflow)
    steps = yaml.safe_load(workflow.read_text())["jobs"]["test"]["steps"]
    commands = " ".join(step.get("run", "") for step in steps)
    for needed in ("ruff", "mypy", "pytest", "check --deploy", "--check-config", "makemigrations"):
        assert needed in commands


def test_the_workflows_commands_are_valid_shell(bake: Bake) -> None:
    workflow = yaml.safe_load((bake(DEFAULT) / ".github" / "workflows" / "ci.yml").read_text())
    for step in workflow["jobs"]["test"]["steps"]:
        done = subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True)  # noqa: S607
        assert done.returncode == 0, step


def test_each_choice_has_a_label() -> None:
    prompts = json.loads((ROOT / "cookiecutter.json").read_text())
    for name, choices in prompts.items():
        if isinstance(choices, list) and not name.startswith("_"):
            assert set(prompts["__prompts__"][name]) == {"__prompt__", *choices}


def ruff(*arguments: str, project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
        cwd=project,
        capture_output=True,
        text=True,
    )


def assert_passes(program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
