"""Fixtures: generated projects, each made once in a test process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from baking.combinations import SELECTED, SUPPORTED, Combination
from baking.interpreters import NoInterpreter
from baking.project import Project, generate

# Run in generated projects: test_faults.py, test_other_software.py and test_background_work.py copy
# them there.
collect_ignore = ["faults", "others", "background"]

Bake = Callable[[Combination], Path]
Install = Callable[[Combination], Project]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that are marked `each_bake` for the selected combinations."""
    if metafunc.definition.get_closest_marker("each_bake"):
        chosen = SUPPORTED if metafunc.config.getoption("--all") else SELECTED
        metafunc.parametrize("combination", chosen, ids=str)


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """Return the directory of a combination's project, for tests that only read it."""
    baked: dict[Combination, Path] = {}

    def once(combination: Combination) -> Path:
        if combination not in baked:
            output = tmp_path_factory.mktemp("bake")
            baked[combination] = generate(output, **combination.answers)
        return baked[combination]

    return once


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Return a combination's installed project, for tests that change nothing in it.

    Skips the test if this machine has no Python for it.
    """
    installed: dict[Combination, Project] = {}

    def once(combination: Combination) -> Project:
        if combination not in installed:
            try:
                project = Project(tmp_path_factory.mktemp("project"), combination)
            except NoInterpreter as reason:
                pytest.skip(str(reason))
            installed[combination] = project
        return installed[combination]

    return once
