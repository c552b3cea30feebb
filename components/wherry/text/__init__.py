"""What a text shows, measured a column at a time, and what cleans it.

`wherry.text.measure` finds, `wherry.text.redact` takes out, `wherry.text.normal` evens out,
`wherry.text.near` finds near copies and `wherry.text.overlap` what stands in a benchmark.
"""
