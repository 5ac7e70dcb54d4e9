"""The network, and all that follows from its shape."""
