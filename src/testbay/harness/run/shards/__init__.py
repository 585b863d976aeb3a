"""A suite in several parts: which test falls to which, and the parts' reports made one again."""
