from shop.config import currency


def test_the_currency_has_a_default():
    assert currency({}) == "EUR"
