"""Starting the service's processes: cold, or as a fork of an interpreter that has loaded its libraries."""
