"""Buy till you die: how customers buy, until they buy no more. Fitted on customers drawn at random."""
