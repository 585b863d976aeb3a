from agent_executor.agent.templates import find


def test_a_path_beyond_the_end_of_a_list_leads_nowhere() -> None:
    """It is a value that is missing."""
    assert find("input.1", {"input": ["a"]}) == (False, None)
