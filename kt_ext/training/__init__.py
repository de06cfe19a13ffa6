"""What happens while a model trains: building, checkpoints, data order, live hyperparameters, the callback."""
