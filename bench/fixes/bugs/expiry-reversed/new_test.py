from shop.tokens import check, issue


def test_a_fresh_token_is_good():
    assert check(issue("ann", 100.0), 200.0) == "ann"
