"""The one exception that devdb raises on purpose."""


class DevdbError(Exception):
    """Raised where there is no project or no usable PostgreSQL. The message is one line."""
