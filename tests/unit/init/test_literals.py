"""Texts that a source makes of literals."""

import ast

import pytest

from testbay.init import literals


@pytest.mark.parametrize(
    "twice", ['f"{A%d}{A%d}"', '"%%s%%s" %% (A%d, A%d)', '"{}{}".format(A%d, A%d)', '"{0}{0}{1}".format(A%d, A%d)']
)
def test_text_of_itself_twice_ends(twice: str) -> None:
    """A text that doubles sixty times is passed over; all before it are read."""
    lines = [f"A{index} = {twice % (index - 1, index - 1)}" for index in range(1, 60)]

    found = dict(literals.constants(ast.walk(ast.parse("\n".join(['A0 = "0123456789"', *lines])))))

    assert (found["A0"], max(map(len, found.values())) <= 4096, "A59" in found) == ("0123456789", True, False)
