"""Starting processes of the service: cold, or as a fork of an interpreter that has loaded its libraries."""
