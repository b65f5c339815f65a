"""Lightning on our sessions: `SessionCheckpoints` for a `Trainer`, `KeyedLoader` for its data."""

from mlsession.integrations.lightning.callback import SessionCheckpoints
from mlsession.integrations.lightning.checkpoint_io import SessionCheckpointIO
from mlsession.integrations.lightning.loader import KeyedLoader

__all__ = ["KeyedLoader", "SessionCheckpointIO", "SessionCheckpoints"]
