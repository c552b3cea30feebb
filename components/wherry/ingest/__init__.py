"""From a pinned version of data to a data set whose every byte is checked."""
