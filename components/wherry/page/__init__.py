"""Pages: one self-contained HTML file of sections with plots, for any room that shows something."""
