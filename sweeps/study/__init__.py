"""Study files: their schema, and the plan of their runs."""
