"""The HTTP surface."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/orders/{number}", name="order")
def order(number: int) -> dict:
    """An order with the addresses of what belongs to it."""
    return {"number": number, "links": links(number)}


@app.get("/orders/{number}/invoice", name="invoice")
def invoice(number: int) -> dict:
    """The invoice of an order."""
    return {"invoice": f"R-{number:06}"}


@app.get("/orders/{number}/parcel", name="parcel")
def parcel(number: int) -> dict:
    """Where its parcel is."""
    return {"parcel": f"P-{number:06}"}


def links(number: int) -> dict:
    """The addresses of an order's parts."""
    return {part: str(app.url_path_for(part, number=number)) for part in ("invoice", "parcel")}
