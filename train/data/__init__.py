"""From text or a synthetic source to token shards, and the order in which a run reads them."""
