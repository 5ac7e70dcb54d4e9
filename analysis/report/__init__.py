"""Reports on final losses and on curve laws: pages with figures, figure files, and text for terminals."""
