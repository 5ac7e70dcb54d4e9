"""The figures of reports, one file each, with the style and the data that they share."""
