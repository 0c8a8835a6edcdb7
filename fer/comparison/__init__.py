"""Results of many runs: tables, paired statistics, figures."""
