"""The paper's tables, figures and lemma, on scenes of our own."""
