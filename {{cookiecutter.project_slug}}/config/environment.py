"""Read the environment: variables, `.env`, and secrets from files."""

import os
from ipaddress import ip_network
from pathlib import Path

from environs import Env, EnvValidationError, FileAwareEnv

SECRETS = ("DATABASE_URL", "SECRET_KEY")


def environment() -> Env:
    """Return the reader of the environment and of ENV_FILE, `.env` by default.

    A platform may mount a secret as a file: NAME_FILE names it, as in Docker's official images.
    Raises EnvValidationError if it cannot be read, or if NAME is set too.
    """
    env, variables = FileAwareEnv(strip_whitespace=True), Env()
    if file := os.environ.get("ENV_FILE", str(Path(__file__).parent.with_name(".env"))):
        env.read_env(file, recurse=False)
        variables.read_env(file, recurse=False)
    for name in SECRETS:
        if path := variables.str(f"{name}_FILE", default=""):
            if variables.str(name, default=None) is not None:
                raise _invalid(f"{name}_FILE", f"{name} is set too: remove one of them")
            _refuse_unreadable(f"{name}_FILE", path)
    return env


def _refuse_unreadable(name: str, path: str) -> None:
    try:
        Path(path).read_text()
    except (OSError, ValueError) as error:
        raise _invalid(name, str(error)) from error


def trusted_proxies(env: Env) -> list[str]:
    """Return addresses and networks, or "*" for all, as gunicorn's forwarded_allow_ips takes them.

    Raises EnvValidationError if one is neither.
    """
    given = env.list("FORWARDED_ALLOW_IPS", default=["127.0.0.1", "::1"])
    proxies = [each.strip() for each in given if each.strip()]
    for each in proxies:
        try:
            if each != "*":
                ip_network(each)
        except ValueError as error:
            raise _invalid("FORWARDED_ALLOW_IPS", str(error)) from error
    return proxies


def _invalid(name: str, problem: str) -> EnvValidationError:
    message = f'Environment variable "{name}" invalid: {problem}'
    return EnvValidationError(message, error_messages=[])
