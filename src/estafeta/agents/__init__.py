"""The actors of RFC 5598: reception and submission, delivery."""
