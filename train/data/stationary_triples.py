"""How often each triple of tokens stands in an endless text of a source that looks three tokens back.

Legend: V vocabulary, X = V ** 3 contexts, J likely successors of each.
"""

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]

TOLERANCE = 1e-13  # of all shares together: far above their rounding, far below what a digit of the entropy needs


def stationary_triples(vocabulary: int, successor_XJ: npt.NDArray[np.int64], weight_J: Shares, noise: float) -> Shares:
    """(V, V, V) the p that its own next token leaves alone: p(b, c, d) = sum_a p(a, b, c) P(d | a, b, c).

    Contexts are in the order of a V ** 2 + b V + c. P is `weight_J` on the distinct successors of a context, and
    `noise` on every token, which is why there is one such p and every start leads to it.
    """
    contexts = np.arange(vocabulary**3)[:, None]
    next_context_XJ = contexts % vocabulary**2 * vocabulary + successor_XJ
    share_X = np.full(vocabulary**3, vocabulary**-3.0)
    change = 1.0
    while change > TOLERANCE:
        flow_XJ = share_X[:, None] * weight_J
        likely_X = np.bincount(next_context_XJ.ravel(), flow_XJ.ravel(), minlength=vocabulary**3)
        noise_BC = noise * share_X.reshape((vocabulary,) * 3).sum(axis=0)
        following_X = likely_X + np.repeat(noise_BC.ravel(), vocabulary)
        change = float(np.abs(following_X - share_X).sum())
        share_X = following_X
    return share_X.reshape((vocabulary,) * 3)
