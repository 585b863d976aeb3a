"""The HTTP surface: routes for programs, and a page for people."""
