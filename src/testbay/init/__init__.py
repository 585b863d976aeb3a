"""`testbay init`: write a manifest for a project that has none, from the project's own files."""
