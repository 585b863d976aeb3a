from shop.orders import mean


def test_the_mean_of_no_orders_is_nothing():
    assert mean([]) == 0
