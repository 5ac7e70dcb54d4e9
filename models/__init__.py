"""The network, and what follows from its shape: parameter and FLOP counts, initial values, parametrization."""
