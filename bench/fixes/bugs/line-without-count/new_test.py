from shop.orders import total


def test_a_line_without_a_count_is_one_piece():
    assert total({"lines": [{"price": 250}]}) == 250
