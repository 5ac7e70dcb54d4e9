"""What is odd about the magnitudes of somebody else's table: units that are not ones, a C that is not 6 N D.

Legend: P rows.
"""

import numpy as np

from windtunnel.analysis.tables.table import Table

# The smallest model anybody fits a law to has more parameters.
FEWEST_PARAMETERS = 1000.0
# Rounding in a printed table stays within this share of 6 N D.
SAME_CONVENTION = 0.05


def unit_notes(table: Table) -> list[str]:
    """Notes for a reader, who alone knows whether they matter."""
    known = {name: table.columns[name] for name in ("N", "D", "C") if name in table.numeric}
    known = {name: values for name, values in known.items() if np.isfinite(values).all() and (values > 0).all()}
    notes = []
    if "N" in known and known["N"].min() < FEWEST_PARAMETERS:
        notes.append(
            f"N is {known['N'].min():.3g} in {table.label[np.argmin(known['N'])]}: are the units parameters? "
            "millions are --columns N=NAME*1e6"
        )
    if {"N", "D"} <= known.keys() and (below := known["D"] < known["N"]).any():
        notes.append(
            f"D is below N in {int(below.sum())} of {len(table)} rows, such as {table.label[np.argmax(below)]}: "
            "are the units tokens and parameters?"
        )
    if len(known) == 3:
        ratio = known["C"] / known["N"] / known["D"] / 6
        if np.abs(ratio - 1).max() > SAME_CONVENTION:
            notes.append(f"C is {ratio.min():.3g} to {ratio.max():.3g} times 6 N D")
    return notes
