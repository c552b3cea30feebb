"""What can be counted of a model's predictions: pure functions, one file a family."""
