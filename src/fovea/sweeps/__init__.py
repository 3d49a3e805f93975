"""A search by Optuna: the study, what it searches, and who works on it."""
