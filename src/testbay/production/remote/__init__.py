"""Whoever is asked or told over the network: GitHub, Railway, and who takes a message."""
