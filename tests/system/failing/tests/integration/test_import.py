"""A file that cannot be imported."""

from shop.basket import Basket  # type: ignore[import-not-found]


def test_basket() -> None:
    """It is never reached."""
    assert Basket()
