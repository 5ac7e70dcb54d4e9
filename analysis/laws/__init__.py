"""Laws of the final loss: one file a law, and the catalog of their names."""
