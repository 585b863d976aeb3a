"""`testbay init`: a manifest for a project that has none, from what the project says of itself."""
