"""What the shop promises."""

import os
from io import BytesIO

from shop import carrier, config, deadlines, exports, frames, orders, prices, tokens
from shop.api import app, parcel
from shop.health import ping
from sqlalchemy import create_engine, text

ORDER = {"lines": [{"price": 250, "count": 2}]}


def test_the_database_is_there():
    engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 2")).scalar_one() == 2
    engine.dispose()
    assert callable(ping)


def test_orders():
    assert (orders.total(ORDER), orders.shipping(ORDER), orders.mean([ORDER, ORDER])) == (500, 490, 500)


def test_routes():
    assert parcel(7) == {"parcel": "P-000007"}
    assert app.url_path_for("order", number=7) == "/orders/7"


def test_prices():
    assert (prices.cents("12.50"), prices.shown(1250)) == (1250, "12,50 EUR")


def test_tokens():
    assert tokens.issue("ann", 100.0)["expires"] == 3700.0


def test_exports(tmp_path):
    (tmp_path / "a.csv").write_text("1;20\n")
    assert exports.read(tmp_path / "a.csv") == [(1, 20)]


def test_frames():
    assert frames.read(BytesIO(frames.write(b"paid"))) == b"paid"


def test_deadlines():
    assert (deadlines.pause(1), deadlines.remaining(0.0, 0.0, 2000.0) > 0) == (1.0, True)


def test_config():
    assert (config.currency({"SHOP_CURRENCY": "chf"}), config.port({})) == ("CHF", 8080)


def test_carrier():
    assert (carrier.is_there({"state": "delivered"}), carrier.tracking({"tracking_no": "A1"})) == (True, "A1")
