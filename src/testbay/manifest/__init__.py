"""The files that users write, validated when they are read: the manifest, compose files, checks, expressions."""
