"""The language of conditions: a subset of Python's expressions, parsed strictly and evaluated without Python."""
