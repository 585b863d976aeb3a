from shop.carrier import tracking


def test_the_carriers_second_version():
    assert tracking({"tracking": "B2"}) == "B2"
