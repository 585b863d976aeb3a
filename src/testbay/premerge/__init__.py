"""Checks as tests: the only room that knows both wings."""
