from shop.health import ping
from sqlalchemy import create_engine


def test_the_health_check_asks_the_database(bay):
    engine = create_engine(bay.postgres.dsn.replace("postgresql:", "postgresql+psycopg:"))
    assert ping(engine) == {"status": "healthy", "answer": 1}
    engine.dispose()
