"""One adapter per foreign naming of weights, there and back."""
