"""What every room may use: configs, distribution, paths."""
