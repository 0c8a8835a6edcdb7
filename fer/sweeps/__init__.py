"""Many runs from one command, each in its own process: sweeps, and the folds of a run."""

import warnings

# Launchers of conf/hydra/launcher that bear the name of their plugin's own.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
