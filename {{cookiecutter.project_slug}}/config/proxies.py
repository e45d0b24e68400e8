"""Read FORWARDED_ALLOW_IPS: the proxies whose headers are trusted."""

from ipaddress import ip_network

from environs import Env, EnvValidationError


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
            raise EnvValidationError(
                f'Environment variable "FORWARDED_ALLOW_IPS" invalid: {error}', error_messages=[]
            ) from error
    return proxies
