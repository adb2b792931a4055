"""The files that a training run writes about itself. Training, cards and reports read them."""
