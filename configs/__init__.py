"""What can be chosen, as Hydra groups; a package so that `pkg://configs` works from a wheel too."""
