from shop.prices import cents


def test_a_price_may_have_a_comma():
    assert cents("12,50") == 1250
