"""Judges the file that ships: scores and a policy in, a blessing or a refusal out."""
