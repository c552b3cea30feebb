"""Plots as geometry: what the SVG templates draw.

Across, places are percentages of the plot's width; down, they are pixels. An SVG without a
view box takes both as they are, so a plot is as wide as its column while its text, marks and
lines keep their size: at 400 pixels it reads as well as at 1280.
"""
