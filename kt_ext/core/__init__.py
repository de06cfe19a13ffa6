"""The words everything else speaks: numpy and the standard library only."""
