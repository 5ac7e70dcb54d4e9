"""Laws of whole curves: the loss at every step, under any learning-rate schedule."""
