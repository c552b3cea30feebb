"""What changed between two versions of a data set: rows, lengths, labels, languages."""
