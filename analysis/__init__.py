"""From run tables to laws, intervals, sealed predictions and their scores."""
