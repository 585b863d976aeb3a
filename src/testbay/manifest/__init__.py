"""Everything a person writes, refused at load: the manifest, the compose file, the checks and their expressions."""
