"""A small shop, of somebody else's."""
