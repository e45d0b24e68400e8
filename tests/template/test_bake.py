"""A generated project has what its answers need, no more, and its tools accept its files."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from baking.combinations import DEFAULT, ROOT, SUPPORTED, TEMPLATE, Combination
from baking.project import generate
from tests.template.conftest import Bake
from tests.template.tools import assert_passes, assert_workflow_passes

# Words of one worker class, which projects of the other classes have no use for.
WORDS = {
    "sync": r"\bsync worker|['\"`]sync['\"`]",
    "gthread": r"\bgthread\b",
    "gevent": r"\bgevent\b",
    "eventlet": r"\beventlet\b",
    "asgi": r"\basgi\b|\bASGI\b",
}


def is_asgi(combination: Combination) -> bool:
    return combination.worker_class == "asgi"


def is_web(combination: Combination) -> bool:
    return combination.service_kind == "web"


# Files that only some projects have. All others are in every project.
CONDITIONAL: dict[str, Callable[[Combination], bool]] = {
    "config/wsgi.py": lambda combination: not is_asgi(combination),
    "config/asgi.py": lambda combination: is_asgi(combination),
    "config/static.py": lambda combination: is_web(combination) and is_asgi(combination),
    **{
        path: is_web
        for path in (
            "accounts/__init__.py",
            "accounts/admin.py",
            "accounts/migrations/0001_initial.py",
            "accounts/migrations/__init__.py",
            "accounts/models.py",
            "accounts/urls.py",
            "notes/admin.py",
            "notes/templates/notes/notes.html",
            "static/favicon.svg",
            "static/style.css",
            "templates/base.html",
            "templates/home.html",
            "templates/registration/login.html",
            "tests/conftest.py",
            "tests/test_accounts.py",
        )
    },
    "config/errors.py": lambda combination: not is_web(combination),
    "config/views.py": lambda combination: not is_web(combination),
}
# Directories of tools that run on packages/ in the template.
LEFTOVERS = {"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}
# Read from the environment, but not offered in .env.example: ENV_FILE names the file that is read
# in place of .env, so it cannot be set in that file.
NOT_IN_THE_FILE = {"ENV_FILE"}

every_combination = pytest.mark.parametrize("combination", SUPPORTED, ids=str)


def owned_files(project: Path) -> dict[str, str]:
    """Return the text of each file outside packages/, by path."""
    return {
        str(path.relative_to(project)): path.read_text()
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] != "packages"
    }


def package_files(project: Path) -> dict[str, bytes]:
    """Return the bytes of each file in packages/, by path."""
    packages = project / "packages"
    return {
        str(path.relative_to(packages)): path.read_bytes()
        for path in packages.rglob("*")
        if path.is_file()
    }


def source_files() -> dict[str, bytes]:
    """Return the package_files() of the template, without what tools left there."""
    return {
        path: content
        for path, content in package_files(TEMPLATE).items()
        if not LEFTOVERS & set(Path(path).parts)
    }


def assert_formatted_and_free_of_lint(project: Path) -> None:
    for command in (["format", "--check", "--diff"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@every_combination
def test_tree_has_what_the_answers_need(combination: Combination, bake: Bake) -> None:
    found = owned_files(bake(combination)).keys()
    expected = owned_files(bake(DEFAULT)).keys() - CONDITIONAL.keys()
    expected |= {path for path, needed in CONDITIONAL.items() if needed(combination)}
    assert found == expected


@every_combination
def test_packages_are_copied_unchanged(combination: Combination, bake: Bake) -> None:
    source = source_files()
    assert {path.split("/")[0] for path in source} == {"connection_slots", "devdb"}
    assert package_files(bake(combination)) == source


@every_combination
def test_nothing_of_the_template_is_left(combination: Combination, bake: Bake) -> None:
    for path, text in owned_files(bake(combination)).items():
        if path != ".cruft.json":  # the record names the template's answers as cookiecutter does
            assert "cookiecutter" not in text, path
        # GitHub's own expressions begin with a dollar sign, and pages are Django's templates.
        if not path.endswith(".html"):
            assert not re.search(r"\{%|%\}|\{#|(?<!\$)\{\{ ", text), path


@every_combination
def test_no_directory_is_empty(combination: Combination, bake: Bake) -> None:
    directories = [path for path in bake(combination).rglob("*") if path.is_dir()]
    assert all(any(directory.iterdir()) for directory in directories)


@every_combination
def test_kind_has_nothing_of_the_other(combination: Combination, bake: Bake) -> None:
    files = owned_files(bake(combination))
    found = "".join(text for path, text in files.items() if not path.startswith("."))
    other = (
        "json_errors|JsonResponse" if is_web(combination) else "accounts|static_?files|whitenoise"
    )
    assert not re.search(other, found, re.IGNORECASE)


@every_combination
def test_no_other_worker_class_is_mentioned(combination: Combination, bake: Bake) -> None:
    others = {name: word for name, word in WORDS.items() if name != combination.worker_class}
    for path, text in owned_files(bake(combination)).items():
        if path.startswith("tests/"):
            continue  # the same in all projects: they ask GUNICORN_WORKER_CLASS what to expect
        for name, word in others.items():
            assert not re.search(word, text), f"{path} mentions {name}"


@every_combination
def test_psycogreen_is_used_where_needed(combination: Combination, bake: Bake) -> None:
    needed = combination.database_driver == "psycopg2" and combination.worker_class in {
        "gevent",
        "eventlet",
    }
    found = owned_files(bake(combination))
    assert ("patch_psycopg()" in found["gunicorn.conf.py"]) is needed
    del found[".cruft.json"]  # it has an answer of that name
    assert ("psycogreen" in "".join(found.values())) is needed


@every_combination
def test_formatted_and_free_of_lint(combination: Combination, bake: Bake) -> None:
    assert_formatted_and_free_of_lint(bake(combination))


@every_combination
def test_metadata_is_valid(combination: Combination, bake: Bake) -> None:
    metadata = tomllib.loads((bake(combination) / "pyproject.toml").read_text())
    project = metadata["project"]
    assert project["name"] == "my-service"
    requirements = " ".join(project["dependencies"])
    assert ("gunicorn>=25.3,<26" in requirements) is (combination.worker_class == "eventlet")
    assert ("gunicorn[gevent]" in requirements) is (combination.worker_class == "gevent")
    assert f"django>={combination.django_version}" in requirements


@every_combination
def test_packages_are_wired_by_path(combination: Combination, bake: Bake) -> None:
    project = bake(combination)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())
    assert "connection-slots" in " ".join(metadata["project"]["dependencies"])
    assert "devdb" in " ".join(metadata["dependency-groups"]["dev"])
    sources = metadata["tool"]["uv"]["sources"]
    assert sources.keys() == {"connection-slots", "devdb"}
    for name, source in sources.items():
        package = tomllib.loads((project / source["path"] / "pyproject.toml").read_text())
        assert package["project"]["name"] == name


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
def test_awkward_name_bakes_clean(name: str, tmp_path: Path) -> None:
    slug = {} if re.match(r"[a-zà-ž]", name, re.IGNORECASE) else {"project_slug": "service"}
    project = generate(tmp_path, project_name=name, **slug)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["description"] == name
    assert (project / "README.md").read_text().startswith(f"# {name}\n")
    assert_formatted_and_free_of_lint(project)


def test_longest_slug_bakes_clean(tmp_path: Path) -> None:
    project = generate(tmp_path, project_slug="a" * 40, worker_class="gevent")
    assert_formatted_and_free_of_lint(project)


def test_generating_twice_gives_the_same(bake: Bake, tmp_path: Path) -> None:
    project = generate(tmp_path)
    assert owned_files(project) == owned_files(bake(DEFAULT))
    assert package_files(project) == package_files(bake(DEFAULT))


@every_combination
def test_every_variable_is_in_the_example(combination: Combination, bake: Bake) -> None:
    found = owned_files(bake(combination))
    readers = ("config/environment.py", "config/settings.py", "gunicorn.conf.py")
    sources = "".join(found[path] for path in readers)
    read = set(re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", sources))
    read |= set(re.findall(r"environ(?:\.get\(|\[)\s*\"([A-Z_]+)\"", sources))
    offered = set(re.findall(r"^#?([A-Z_]+)=", found[".env.example"], re.MULTILINE))
    assert read - NOT_IN_THE_FILE == offered - NOT_IN_THE_FILE


def test_dockerfile_passes_hadolint(bake: Bake) -> None:
    assert_passes("hadolint", bake(DEFAULT) / "Dockerfile")


def test_compose_file_is_valid(bake: Bake) -> None:
    project = bake(DEFAULT)
    assert_passes("docker-compose", "--file", project / "compose.yaml", "config", "--quiet")


@pytest.mark.parametrize("name", ["ci.yml", "update.yml"])
def test_workflow_is_valid_and_safe(name: str, bake: Bake) -> None:
    workflow = bake(DEFAULT) / ".github" / "workflows" / name
    # Tags, not commits: a commit would be out of date when the project is generated.
    assert_workflow_passes(workflow, ROOT / ".github" / "zizmor.yml")


def test_workflow_runs_the_checks(bake: Bake) -> None:
    workflow = bake(DEFAULT) / ".github" / "workflows" / "ci.yml"
    steps = yaml.safe_load(workflow.read_text())["jobs"]["test"]["steps"]
    commands = " ".join(step.get("run", "") for step in steps)
    assert "uv run poe check" in commands


@every_combination
def test_one_command_runs_all_checks(combination: Combination, bake: Bake) -> None:
    tasks = (bake(combination) / "pyproject.toml").read_text().partition("[tool.poe.tasks]")[2]
    for needed in ("ruff", "mypy", "pytest", "check --deploy", "--check-config", "makemigrations"):
        assert needed in tasks
    assert ("collectstatic" in tasks) is is_web(combination)


@pytest.mark.parametrize("path", [".github/dependabot.yml", ".pre-commit-config.yaml"])
def test_yaml_is_valid(path: str, bake: Bake) -> None:
    assert yaml.safe_load((bake(DEFAULT) / path).read_text())
