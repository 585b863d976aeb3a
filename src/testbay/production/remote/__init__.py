"""The services asked or told over the network: GitHub, Railway, and receivers of messages."""
