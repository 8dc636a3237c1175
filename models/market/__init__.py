"""What is wanted, what is bought together, how price moves it, and who comes and goes."""
