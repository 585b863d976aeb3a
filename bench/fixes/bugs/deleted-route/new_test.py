from shop.api import links


def test_an_order_links_to_its_invoice():
    assert links(7) == {"invoice": "/orders/7/invoice", "parcel": "/orders/7/parcel"}
