"""What the house remembers: the doors (ports), and the backends behind them."""
