"""What a training run writes about itself, for training, cards and reports to read."""
