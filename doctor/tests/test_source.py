"""Settings are understood as far as their source tells, and no further."""

import pytest

from doctor_helpers import Check, Write, database

DAPHNE = "web: daphne config.asgi:application"
SETTINGS = "config/settings.py"


@pytest.mark.parametrize(
    "expression",
    [
        "env.int('CONN_MAX_AGE', default=60)",
        "env('CONN_MAX_AGE', default=60)",
        "int(os.environ.get('CONN_MAX_AGE', 60))",
        "int(os.getenv('CONN_MAX_AGE', '60'))",
        "config('CONN_MAX_AGE', cast=int, default=60)",
        "int(os.environ.get('CONN_MAX_AGE') or 60)",
        "60 if os.environ.get('PERSISTENT') else 0",
        "None",
        "20 * 3",
        "60 if 'a' in ['a'] else 0",
        "(age := 60)",
        "float(os.getenv('AGE', '60.0'))",
        "max(30, 60)",
    ],
)
def test_age_is_understood(expression: str, write: Write, check: Check) -> None:
    files = {"Procfile": DAPHNE, SETTINGS: database(CONN_MAX_AGE=expression)}
    answer = check(write(files))
    assert "DG001" in answer.rules
    assert "DG000" not in answer.rules


@pytest.mark.parametrize("expression", ["0", "env.int('CONN_MAX_AGE', default=0)", "60 - 60"])
def test_age_of_zero_is_understood(expression: str, write: Write, check: Check) -> None:
    files = {"Procfile": DAPHNE, SETTINGS: database(CONN_MAX_AGE=expression)}
    assert not {"DG000", "DG001"} & check(write(files)).rules


def test_unknown_alternative_is_told_beside_the_known_one(write: Write, check: Check) -> None:
    expression = "60 if os.environ.get('A') else compute()"
    answer = check(write({"Procfile": DAPHNE, SETTINGS: database(CONN_MAX_AGE=expression)}))
    assert {"DG000", "DG001"} <= answer.rules


@pytest.mark.parametrize(
    "expression",
    [
        "settings_of('age')",
        "int('many')",
        "1000000000 * '1'",
        "env.int('CONN_MAX_AGE')",
        "[60][index]",
        "lambda: 60",
    ],
)
def test_other_expressions_are_not_understood(expression: str, write: Write, check: Check) -> None:
    answer = check(write({"Procfile": DAPHNE, SETTINGS: database(CONN_MAX_AGE=expression)}))
    assert "DG001" not in answer.rules
    assert any("CONN_MAX_AGE" in message for message in answer.messages("DG000"))


def test_default_of_the_environment_is_named(write: Write, check: Check) -> None:
    expression = "env.int('DB_AGE', default=60)"
    answer = check(write({"Procfile": DAPHNE, SETTINGS: database(CONN_MAX_AGE=expression)}))
    assert "default of the environment variable DB_AGE" in answer.messages("DG001")[0]


def test_environment_of_the_deployment_is_used(write: Write, check: Check) -> None:
    files = {
        "Procfile": None,
        "Dockerfile": 'FROM python\nENV CONN_MAX_AGE=0\nCMD ["daphne", "config.asgi"]\n',
        SETTINGS: database(CONN_MAX_AGE="env.int('CONN_MAX_AGE', default=60)"),
    }
    assert "DG001" not in check(write(files)).rules


def test_production_settings_are_followed_to_their_base(write: Write, check: Check) -> None:
    files = {
        "Procfile": DAPHNE,
        SETTINGS: None,
        "config/settings/__init__.py": "",
        "config/settings/base.py": database(CONN_MAX_AGE="0"),
        "config/settings/local.py": "from .base import *\n",
        "config/settings/production.py": """
            from .base import *
            from .base import DATABASES

            DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
        """,
        "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")\n',
    }
    answer = check(write(files))
    assert answer.places("DG001") == ["config/settings/production.py:4"]
    assert answer.data["settings"]["path"] == "config/settings/production.py"
    assert "beside config.settings.local" in answer.data["settings"]["reason"]


def test_split_settings_are_included(write: Write, check: Check) -> None:
    files = {
        "Procfile": DAPHNE,
        SETTINGS: None,
        "config/settings/__init__.py": """
            from os import environ
            from split_settings.tools import include, optional

            environ.setdefault("DJANGO_ENV", "development")
            _ENV = environ.get("DJANGO_ENV", "development")
            _base = ("components/database.py", f"environments/{_ENV}.py", optional("none.py"))
            include(*_base)
        """,
        "config/settings/components/database.py": database(CONN_MAX_AGE="0"),
        "config/settings/environments/development.py": "",
        "config/settings/environments/production.py": (
            'DATABASES["default"]["CONN_MAX_AGE"] = 60\n'
        ),
    }
    places = check(write(files)).places("DG001")
    assert places == ["config/settings/environments/production.py:1"]


@pytest.mark.parametrize(
    "source",
    [
        "DATABASES = {'default': dj_database_url.config(conn_max_age=600)}",
        "DATABASES = {'default': env.dj_db_url('DATABASE_URL', conn_max_age=600)}",
        "DATABASES = {'default': dict(env.db('DATABASE_URL'), CONN_MAX_AGE=600)}",
        "DATABASES = {'default': {**env.db(), 'CONN_MAX_AGE': 600}}",
        "DATABASES = {'default': env.db()}\nDATABASES['default'].update(CONN_MAX_AGE=600)",
        "DATABASES = {'default': env.db()}\nfor a in DATABASES:\n"
        "    DATABASES[a]['CONN_MAX_AGE'] = 600",
        "DATABASES = {'default': env.db() | {'CONN_MAX_AGE': 600}}",
        "D = env.db().copy()\nD.update({'CONN_MAX_AGE': 600})\nDATABASES = {'default': D}",
        "D = env.db()\nD.setdefault('CONN_MAX_AGE', 600)\nDATABASES = {'default': D}",
        "A = {}\nDATABASES = {'default': {**env.db(), 'CONN_MAX_AGE': A.get('AGE', 600)}}",
        "A, B = [60, 600]\nDATABASES = {'default': {**env.db(), 'CONN_MAX_AGE': [A, B][1]}}",
        "with x:\n    try:\n        DATABASES = {'default': env.db()}\n    except E: pass\n"
        "DATABASES['default']['CONN_MAX_AGE'] = 300\nDATABASES['default']['CONN_MAX_AGE'] += 300",
        "env = environ.Env(AGE=(int, 600))\nDATABASES = {'default': env.db()}\n"
        "DATABASES['default']['CONN_MAX_AGE'] = env('AGE')",
        "DATABASES = {'default': env.db('U', default='postgres://db/x?conn_max_age=600')}",
        "if os.environ.get('U'):\n    DATABASES = {'default': dj_database_url.config("
        "conn_max_age=600)}\nelse:\n    DATABASES = {'default': {'ENGINE': 'sqlite3'}}",
    ],
)
def test_urls_are_understood(source: str, write: Write, check: Check) -> None:
    answer = check(write({"Procfile": DAPHNE, SETTINGS: f"import os\n{source}\n"}))
    assert "600" in answer.messages("DG001")[0]


def test_other_databases_are_left_alone(write: Write, check: Check) -> None:
    files = {"Procfile": DAPHNE, SETTINGS: database(ENGINE="'django.db.backends.sqlite3'")}
    assert not check(write(files)).rules


def test_url_with_another_driver_is_no_postgresql(write: Write, check: Check) -> None:
    files = {
        SETTINGS: "DATABASES = {'default': env.db()}\n",
        "requirements.txt": "django\nmysqlclient\n",
    }
    assert not check(write(files)).rules


def test_broken_settings_are_not_understood(write: Write, check: Check) -> None:
    assert check(write({SETTINGS: "DATABASES = {\n"})).places("DG000") == [f"{SETTINGS}:1"]


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"# -*- coding: latin-1 -*-  \xe9\n"])
def test_encodings_of_python_are_read(start: bytes, write: Write, check: Check) -> None:
    root = write({"Procfile": "web: daphne config.asgi\n"})
    file = root / SETTINGS
    file.write_bytes(start + file.read_bytes())
    assert "DG001" in check(root).rules


def test_source_that_overflows_the_parser_is_told(write: Write, check: Check) -> None:
    assert check(write({SETTINGS: f"X = {'-' * 200_000}1\n"})).rules == {"DG000"}


def test_handler_of_an_exception_may_run(write: Write, check: Check) -> None:
    source = database(CONN_MAX_AGE="0") + "try:\n    f()\nexcept KeyError:\n"
    source += "    DATABASES['default']['CONN_MAX_AGE'] = 60\n"
    files = {"Procfile": "web: daphne config.asgi\n", SETTINGS: source}
    assert "DG001" in check(write(files)).rules


def test_class_based_settings_are_not_understood(write: Write, check: Check) -> None:
    source = "class Production(Configuration):\n    DATABASES = {}\n"
    assert check(write({SETTINGS: source})).rules == {"DG000"}


def test_missing_base_is_not_understood(write: Write, check: Check) -> None:
    assert "DG000" in check(write({SETTINGS: "from .missing import *\n"})).rules


def test_modules_that_import_each_other_end(write: Write, check: Check) -> None:
    files = {
        SETTINGS: "from .other import *\n" + database(),
        "config/other.py": "from .settings import *\n",
    }
    assert check(write(files)).code == 0


def test_missing_settings_module_is_told(write: Write, check: Check) -> None:
    image = "FROM python\nENV DJANGO_SETTINGS_MODULE=config.live\nCMD gunicorn config.wsgi\n"
    (message,) = check(write({"Dockerfile": image})).messages("DG000")
    assert message == "the settings module config.live is not in the project"


@pytest.mark.parametrize("line", ["from ......x import *", "include('../../../x.py')"])
def test_nothing_outside_the_project_is_read(line: str, write: Write, check: Check) -> None:
    root = write({SETTINGS: f"{line}\n" + database()})
    (root.parent / "x.py").write_text("DATABASES = 1\n")
    assert check(root).rules <= {"DG000"}


@pytest.mark.parametrize(
    "source",
    [
        "import django_heroku\ndjango_heroku.settings(locals())",
        "globals().update(load())",
        "configure(DATABASES)",
        "exec(open('more.py').read())",
        "from company.settings import *",
        "from company.settings import DATABASES",
        "match ENV:\n    case 'live':\n        DATABASES = {}",
        "while True:\n    DATABASES = {}\n    break",
        "del DATABASES",
        "while True:\n    DATABASES['default']['CONN_MAX_AGE'] = 60\n    break",
        "vars()['DATABASES'] = {}",
    ],
)
def test_what_may_change_the_databases_is_told(source: str, write: Write, check: Check) -> None:
    assert "DG000" in check(write({SETTINGS: f"{database()}\n{source}\n"})).rules
