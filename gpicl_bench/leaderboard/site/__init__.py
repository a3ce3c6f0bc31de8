"""The pages of the leaderboards: self-contained HTML files, a pure function of the entries."""
