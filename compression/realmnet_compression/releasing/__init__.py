"""From a checkpoint to a released bundle, with its evidence."""
