"""A search by Optuna: the study, the search space, and the processes that work on it."""
