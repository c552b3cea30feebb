"""From rows as they were found to rows worth learning from: the steps that settings choose."""
