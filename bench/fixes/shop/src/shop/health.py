"""Is the database there?"""

from sqlalchemy import Engine, text


def ping(engine: Engine) -> dict:
    """The answer of GET /health."""
    with engine.connect() as connection:
        answer = connection.execute(text("SELECT 1")).scalar_one()
    return {"status": "healthy", "answer": answer}
