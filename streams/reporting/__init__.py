"""What a job or a backtest came to: put together, and shown in a terminal or on a page."""
