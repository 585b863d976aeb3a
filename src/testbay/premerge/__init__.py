"""Checks as tests: the only package that imports both wings."""
