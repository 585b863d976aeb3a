"""Names of tests without secrets."""

from collections.abc import Sequence

import pytest

from testbay import masking


class NamesWithoutSecrets:
    """Keeps secrets out of the names of parametrized tests: they stand in every file of a record.

    Args:
        secrets: The values.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_parametrize_id(self, val: object, argname: str) -> str | None:
        """Name a value that holds a secret by its argument, as pytest does with an object."""
        return argname if isinstance(val, str) and masking.masked(val, self._secrets) != val else None
