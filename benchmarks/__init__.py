"""One file per figure, each measured beside its reference in the same run."""
