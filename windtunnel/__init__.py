"""Train tiny transformers, fit scaling laws to them, and predict the big run before you train it."""
