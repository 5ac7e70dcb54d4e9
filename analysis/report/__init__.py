"""The report: what a fit rests on (a checklist that answers itself) and its figures, as one page and as files."""
