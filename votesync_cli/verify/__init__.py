"""The checker: it reads `output.txt` once and says of each rule whether the file keeps it (DESIGN section 7).

`reader` turns bytes into runs of blocks, `rules_file`, `rules_history`, `rules_votes` and `rules_journal` judge
them, each with its kind of evidence, and `check` puts the verdicts together. Everything here is pure but for
reading the files that it is given.
"""
