"""Leaderboards: entries with all their evidence, their verification, hidden rounds, and the pages made of them."""
