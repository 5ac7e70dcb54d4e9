"""The settings of a run, as Hydra groups. A package, so that Hydra finds them in a wheel too."""
