"""Many runs from one command, each in its own process: sweeps, and the folds of a run."""
