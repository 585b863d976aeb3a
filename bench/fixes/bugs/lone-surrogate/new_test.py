from agent_executor.jsonsafe import clean_text


def test_a_lone_surrogate_is_made_storable() -> None:
    """A model may send one."""
    assert clean_text("a\ud800") == "a?"
