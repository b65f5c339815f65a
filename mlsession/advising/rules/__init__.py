"""The rules, each a pure function of the evidence that gives an advice, or None; `verdict.RULES` has them in order."""
