"""A suite in several parts: the split of its tests, and the merged reports."""
