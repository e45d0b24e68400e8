"""The project: where it is, and the name that its database gets."""

from pathlib import Path

import pytest

from devdb import DevdbError
from devdb.project import Project, find_project


def write(directory: Path, text: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pyproject.toml").write_text(text)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [("shop", "shop"), ("my-shop", "my_shop"), ("My.Shop", "my_shop"), ("_x1", "_x1")],
)
def test_name_becomes_identifier(tmp_path: Path, name: str, identifier: str) -> None:
    write(tmp_path, f'[project]\nname = "{name}"\n')
    assert find_project(tmp_path) == Project(tmp_path, identifier)


def test_project_is_found_above(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nname = "shop"\n')
    write(tmp_path / "tools", "[tool.ruff]\n")
    (tmp_path / "tools" / "deep").mkdir()
    assert find_project(tmp_path / "tools" / "deep").root == tmp_path


def test_variable_replaces_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVDB_NAME", "other")
    write(tmp_path, '[project]\nname = "3d-shop"\n')
    (tmp_path / "deep").mkdir()
    assert find_project(tmp_path / "deep") == Project(tmp_path, "other")


def test_variable_makes_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVDB_NAME", "other")
    assert find_project(tmp_path) == Project(tmp_path, "other")


def test_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevdbError, match=r"^no project here: .*$"):
        find_project(tmp_path)


def test_malformed_pyproject_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "[project\n")
    with pytest.raises(DevdbError, match=r"pyproject\.toml: "):
        find_project(tmp_path)


@pytest.mark.parametrize("name", ["3d-shop", "postgres", "pg-shop"])
def test_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, f'[project]\nname = "{name}"\n')
    with pytest.raises(DevdbError, match="set DEVDB_NAME to"):
        find_project(tmp_path)
