from shop.deadlines import remaining


def test_a_limit_is_in_milliseconds():
    assert remaining(10.0, 10.5, 2000.0) == 1.5
