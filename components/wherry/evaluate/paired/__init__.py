"""Holds a challenger against the champion, row by row: which differences are more than noise."""
