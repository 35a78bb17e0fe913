"""The Optuna study over real short trainings, each in a process of its own."""
