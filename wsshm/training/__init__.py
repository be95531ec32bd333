"""Training one model by Ray Train: a run planned, its stages trained in order, resumed where they stopped."""
