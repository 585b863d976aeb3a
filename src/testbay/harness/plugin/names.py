"""Names of tests without secrets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from testbay import masking

_Param = type(pytest.param())


class NamesWithoutSecrets:
    """Keeps secrets out of the names of parametrized tests: they stand in every file of a record."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_parametrize_id(self, val: object, argname: str) -> str | None:
        """Name a value that holds a secret by its argument, as pytest does with an object."""
        return argname if self._masked(val) != val else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Mask the names that are written by hand: pytest has no other hook for these."""
        parametrize: Callable[..., None] = metafunc.parametrize

        def masked(argnames: object, argvalues: Iterable[object], *more: Any, **named: Any) -> None:
            if "ids" in named:
                named["ids"] = self._ids(named["ids"])
            elif len(more) > 1:  # before pytest 9 also by place
                more = (more[0], self._ids(more[1]), *more[2:])
            parametrize(argnames, [*map(self._renamed, argvalues)], *more, **named)

        metafunc.parametrize = masked  # type: ignore[method-assign]

    def _ids(self, ids: Any) -> object:
        if callable(ids):
            return lambda value: self._masked(ids(value))
        return ids and [*map(self._masked, ids)]

    def _renamed(self, value: Any) -> object:
        return value._replace(id=self._masked(value.id)) if type(value) is _Param else value

    def _masked(self, value: Any) -> Any:
        return masking.masked(value, self._secrets) if isinstance(value, str) else value
