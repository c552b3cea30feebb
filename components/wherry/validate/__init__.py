"""From a data set and a suite of expectations to a verdict on the data."""
