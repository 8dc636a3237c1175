"""Revenue a day, by series: totals, forecasts with intervals, and how good they were."""
