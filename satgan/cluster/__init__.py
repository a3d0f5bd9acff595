"""What the machines need: prices, size and cost of a run; a cluster file that is fit to be started."""
