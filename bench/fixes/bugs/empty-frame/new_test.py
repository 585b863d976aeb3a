from io import BytesIO

from shop.frames import read


def test_an_empty_message_is_a_sign_of_life():
    assert read(BytesIO(b"0000")) == b""
